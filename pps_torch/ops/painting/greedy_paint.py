"""The greedy choice among overlapping masks: the rule, whatever the masks come from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class MaskWindow(NamedTuple):
    """A mask held only where it can be true: `mask (B, h, w)` at two slices of the canvas."""

    rows: slice
    columns: slice
    mask: Tensor


def greedy_paint(
    windows: Iterable[MaskWindow],
    eligible: Tensor,
    canvas_size: tuple[int, int],
    *,
    overlap_threshold: float,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Keep masks, best first, unless those kept before cover too much of them; paint the kept.

    A mask is dropped when the fraction of its own area (the full mask, in float64) that kept
    masks cover is strictly above `overlap_threshold`, or when it has no pixel of its own. A
    kept mask paints the pixels that nobody has.

    Args:
        windows: the masks of a batch of images, from the best rank to the worst.
        eligible: `(B, N)` bool, in the order of `windows`.
        canvas_size: `(height, width)` of the canvas that the windows lie in.
        overlap_threshold: fraction 0..1.
        lengths: pixels that a canvas element stands for, `(width,)`; default: one.

    Returns:
        `owner (B, height, width)` int32, rank + 1 of the mask that owns a pixel, 0 for none,
        and `keep (B, N)` bool.
    """
    owner = eligible.new_zeros((eligible.shape[0], *canvas_size), dtype=torch.int32)
    keep = []
    for rank, (rows, columns, mask) in enumerate(windows):
        window = owner[:, rows, columns]
        is_free = window == 0
        area = _count(mask, lengths)
        overlap = area - _count(mask & is_free, lengths)
        fraction = overlap.double() / area.double()
        keep.append(eligible[:, rank] & (overlap < area) & (fraction <= overlap_threshold))
        paints = mask & is_free & keep[-1][:, None, None]
        window.masked_fill_(paints, rank + 1)
    return owner, torch.stack(keep, 1) if keep else eligible


def _count(mask: Tensor, lengths: Tensor | None) -> Tensor:
    """Count the pixels of each mask: `(B, h, w)` bool to `(B,)` int64."""
    if lengths is None:
        return mask.flatten(1).to(torch.uint8).sum(1, dtype=torch.int64)
    return (mask * lengths).sum((1, 2))

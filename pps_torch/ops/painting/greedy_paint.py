"""The greedy choice among overlapping masks: the rule, whatever the masks come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.graph_capture import in_float64
from pps_torch.ops.fold import at, fold


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

    Returns:
        `owner (B, height, width)` int32, rank + 1 of the mask that owns a pixel, 0 for none,
        and `keep (B, N)` bool.
    """
    owner = eligible.new_zeros((eligible.shape[0], *canvas_size), dtype=torch.int32)
    threshold, keep = in_float64(overlap_threshold, eligible), []
    for rank, (rows, columns, mask) in enumerate(windows):
        window = owner[:, rows, columns]
        is_free = window == 0
        paints = mask & is_free
        areas = _count(mask), _count(paints)
        keep.append(eligible[:, rank] & is_kept(*areas, threshold))
        window.masked_fill_(paints & keep[-1][:, None, None], rank + 1)
    return owner, torch.stack(keep, 1) if keep else eligible


def fold_paint(
    mask_of_rank: Callable[[Tensor], Tensor],
    eligible: Tensor,
    canvas_size: tuple[int, int],
    *,
    overlap_threshold: float,
) -> tuple[Tensor, Tensor]:
    """Keep and paint as `greedy_paint` does, in one loop of an exported program.

    Args:
        mask_of_rank: the masks `(B, height, width)` bool of a rank `()` int64.
        eligible: `(B, N)` bool; those that are eligible rank first.
        canvas_size: `(height, width)`.
        overlap_threshold: fraction 0..1.

    Returns:
        as `greedy_paint`.
    """
    ranks = torch.arange(eligible.shape[1], device=eligible.device)
    owner = eligible.new_zeros((eligible.shape[0], *canvas_size), dtype=torch.int32)
    threshold = in_float64(overlap_threshold, eligible)  # not in the loop, which has no constants

    def step(rank: Tensor, owner: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        mask = mask_of_rank(rank)
        free = mask & (owner == 0)
        areas = (mask.sum((1, 2), dtype=torch.int32), free.sum((1, 2), dtype=torch.int32))
        kept = at(eligible, 1, rank)[:, 0] & is_kept(*areas, threshold)
        paint = kept * (rank.to(torch.int32) + 1)  # 0, as before, where the mask is dropped
        owner = torch.where(free, paint[:, None, None], owner)
        return owner, keep | (kept[:, None] & (ranks == rank))

    owner, keep = fold(step, (owner, torch.zeros_like(eligible)), eligible.any(0).sum())
    return owner, keep


def is_kept(area: Tensor, free: Tensor, overlap_threshold: float | Tensor) -> Tensor:
    """Tell which masks `(B,)` stay, of whose areas some pixels are free."""
    fraction = (area - free).double() / area.double()
    return (free > 0) & (fraction <= overlap_threshold)


def _count(mask: Tensor) -> Tensor:
    """Count the pixels of each mask: `(B, h, w)` bool to `(B,)` int64."""
    return mask.flatten(1).to(torch.uint8).sum(1, dtype=torch.int64)

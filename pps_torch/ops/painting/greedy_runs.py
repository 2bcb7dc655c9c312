"""The greedy choice among masks, run by run; CPU only.

What lies in the same masks counts as one: a run stands for all its pixels. NumPy takes a third of
torch's time for the few thousand runs of a mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pps_torch.formats.runs import run_lengths


class RunWindow(NamedTuple):
    """A mask held only where it can be true: `mask (w,)` bool at a slice of all runs."""

    runs: slice
    mask: npt.NDArray[Any]


def greedy_runs(
    mask_runs: Sequence[Tensor],
    order: Tensor,
    eligible: Tensor,
    num_pixels: int,
    *,
    overlap_threshold: float,
) -> tuple[Tensor, Tensor]:
    """Choose among the masks of one image as `greedy_masks` does; no map of a mask is made.

    Args:
        mask_runs: N masks `(K, 2)` int64, the first pixel of each run and the one behind its last,
            rising.
        order: `(1, N)` int64, the mask at each rank, best first.
        eligible: `(1, N)` bool, by rank.
        num_pixels: P, those of the image.
        overlap_threshold: fraction 0..1; an overlap equal to it stays.

    Returns:
        `owner (1, P)` int32, rank + 1 of the mask that owns a pixel, 0 for none, and
        `keep (1, N)` bool, by rank.
    """
    ranks = eligible[0].nonzero()[:, 0]
    borders = [mask_runs[index].numpy().reshape(-1) for index in order[0, ranks].tolist()]
    starts = np.unique(np.concatenate([np.zeros(1, np.int64), *borders]))
    starts = starts[: np.searchsorted(starts, num_pixels)]
    lengths = torch.from_numpy(run_lengths(starts, num_pixels))
    windows = (_window(starts, mask) for mask in borders)
    keep = torch.zeros_like(eligible)
    owner, keep[0, ranks] = paint_by_runs(
        windows, ranks, lengths, overlap_threshold=overlap_threshold
    )
    return owner[None], keep


def paint_by_runs(
    windows: Iterable[RunWindow], ranks: Tensor, lengths: Tensor, *, overlap_threshold: float
) -> tuple[Tensor, Tensor]:
    """Keep and paint masks of runs, best first.

    The rule is that of [`greedy_paint`][pps_torch.ops.painting.greedy_paint.greedy_paint].

    Args:
        windows: the masks of one image, from the best to the worst.
        ranks: int64, the rank of each of them.
        lengths: `(R,)` int64, the pixels of each run, P in all.
        overlap_threshold: fraction 0..1.

    Returns:
        `owner (P,)` int32, rank + 1 of the mask that owns a pixel, 0 for none, and whether each
        mask is kept, bool.
    """
    pixels, owner, keep = lengths.numpy(), np.zeros(len(lengths), np.int32), []
    for rank, (runs, mask) in zip(ranks.tolist(), windows):
        paints = mask & (owner[runs] == 0)
        area, free = (int(np.dot(pixels[runs], part)) for part in (mask, paints))
        keep.append(free > 0 and (area - free) / area <= overlap_threshold)
        if keep[-1]:
            owner[runs] += paints * np.int32(rank + 1)
    owner = np.repeat(owner, pixels)
    return torch.from_numpy(owner), torch.tensor(keep, dtype=torch.bool, device="cpu")


def _window(starts: npt.NDArray[Any], borders: npt.NDArray[Any]) -> RunWindow:
    """The mask of some borders, by the first pixels of all runs."""
    places = np.searchsorted(starts, borders)
    is_inside = np.arange(1, len(places)) % 2 == 1
    runs = slice(places[0], places[-1]) if len(places) else slice(0)
    return RunWindow(runs, np.repeat(is_inside, np.diff(places)))

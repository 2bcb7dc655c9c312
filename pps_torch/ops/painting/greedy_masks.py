"""The greedy choice among full-size masks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pps_torch.formats.runs import run_lengths, run_starts
from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.fold import at, is_one_loop
from pps_torch.ops.painting.greedy_paint import MaskWindow, fold_paint, greedy_paint
from pps_torch.ops.painting.greedy_runs import RunWindow, paint_by_runs

_ALL = slice(None)


def greedy_masks(
    masks: Tensor,
    order: Tensor,
    eligible: Tensor,
    *,
    overlap_threshold: float,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Choose among masks of the size of the image, best first, and paint those that are kept.

    The rule is that of [`greedy_paint`][pps_torch.ops.painting.greedy_paint.greedy_paint].

    Args:
        masks: `(B, N, P)` bool.
        order: `(B, N)` int64, the mask at each rank, best first.
        eligible: `(B, N)` bool, by rank.
        overlap_threshold: fraction 0..1; an overlap equal to it stays.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `owner (B, P)` int32, rank + 1 of the mask that owns a pixel, 0 for none, and
        `keep (B, N)` bool, by rank.
    """
    if uses_triton(backend, masks):
        from pps_torch.ops.painting.triton import greedy_masks as twin

        return twin.greedy_masks(masks, order, eligible, overlap_threshold)
    if is_on_host(masks):
        return _greedy_by_runs(masks, order, eligible, overlap_threshold)
    canvas = (1, masks.shape[2])
    if is_one_loop():

        def mask_of_rank(rank: Tensor) -> Tensor:
            # Made anew in each round: Inductor stores, as bools, what more than 4 tensors lead to.
            images = torch.arange(masks.shape[0], device=masks.device)
            return masks[images, at(order, 1, rank)[:, 0]][:, None]

        owner, keep = fold_paint(
            mask_of_rank, eligible, canvas, overlap_threshold=overlap_threshold
        )
        return owner[:, 0], keep
    owner, keep = greedy_paint(
        _ranked(masks, order), eligible, canvas, overlap_threshold=overlap_threshold
    )
    return owner[:, 0], keep


def _greedy_by_runs(
    masks: Tensor, order: Tensor, eligible: Tensor, overlap_threshold: float
) -> tuple[Tensor, Tensor]:
    """Choose image by image, over runs of pixels that lie in the same masks; CPU only."""
    owner = masks.new_zeros((masks.shape[0], masks.shape[2]), dtype=torch.int32)
    keep = torch.zeros_like(eligible)
    for image in range(len(masks)):
        ranks = eligible[image].nonzero()[:, 0]
        if owner.shape[1] == 0 or len(ranks) == 0:
            continue
        ranked = [masks[image, index].numpy() for index in order[image, ranks].tolist()]
        starts = run_starts(ranked, owner.shape[1])
        lengths = torch.from_numpy(run_lengths(starts, owner.shape[1]))
        windows = (RunWindow(_ALL, mask[starts]) for mask in ranked)
        owner[image], keep[image, ranks] = paint_by_runs(
            windows, ranks, lengths, overlap_threshold=overlap_threshold
        )
    return owner, keep


def _ranked(masks: Tensor, order: Tensor) -> Iterator[MaskWindow]:
    """Yield masks `(B, N, P)` rank by rank, each as a window of one row."""
    images = torch.arange(order.shape[0], device=order.device)
    for rank in range(order.shape[1]):
        yield MaskWindow(_ALL, _ALL, masks[images, order[:, rank]][:, None])

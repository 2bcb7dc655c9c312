"""Stuff where no instance owns a pixel, and the numbers of the segments."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.index_of import index_of
from pps_torch.ops.counting.pair_counts import pair_counts
from pps_torch.ops.counting.pixel_runs import pixel_runs


def fill_stuff(
    owner: Tensor,
    keep: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    *,
    stuff_area_limit: float,
    backend: str = "auto",
) -> tuple[Tensor, Tensor, Tensor]:
    """Paint segment ids: kept instances by rank, then stuff in the order of `stuff_ids`.

    Args:
        owner: `(B, H, W)` int32, rank + 1 of the instance that owns a pixel, 0 for none.
        keep: `(B, N)` bool, by rank.
        sem_seg: `(B, H, W)` int; labels that are not in `stuff_ids` become void.
        stuff_ids: `(K,)` int64, distinct.
        stuff_area_limit: pixels that a class needs at least; it always needs one.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `panoptic_seg (B, H, W)` int32; for the N instances and then the K classes
        `segment_ids (B, N + K)` int64, 0 for those that are no segment, and
        `areas (B, N + K)` int64, the pixels that each of them has.
    """
    least_area = _least_area(stuff_area_limit)
    if uses_triton(backend, owner):
        from pps_torch.ops.painting.triton import fill_stuff as twin

        return twin.fill_stuff(owner, keep, sem_seg, stuff_ids, least_area)
    num_images, num_instances = keep.shape
    runs = pixel_runs(owner.flatten(1), sem_seg.flatten(1))
    run_owner, run_label = runs.maps
    stuff = index_of(run_label, stuff_ids) + 1
    slot = torch.where(
        run_owner > 0, run_owner.long(), torch.where(stuff > 0, stuff + num_instances, 0)
    )
    num_slots = 1 + num_instances + stuff_ids.numel()
    areas = pair_counts(runs, torch.zeros_like(slot), slot, 1, num_slots, num_images)[:, 0, 1:]
    is_segment = torch.cat([keep, areas[:, num_instances:] >= least_area], 1)
    segment_ids = is_segment.cumsum(1) * is_segment
    id_of_slot = torch.cat([areas.new_zeros(num_images, 1), segment_ids], 1)
    panoptic_seg = runs.expand(id_of_slot[runs.image, slot].to(torch.int32))
    return panoptic_seg.view(sem_seg.shape), segment_ids, areas


def _least_area(stuff_area_limit: float) -> int:
    """The limit as a whole number of pixels, exact at any size."""
    return math.ceil(min(max(stuff_area_limit, 1), 1 << 62))

"""Stuff where no instance owns a pixel, the numbers of the segments, and their table."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.index_of import index_of
from pps_torch.ops.counting.pixel_runs import pixel_runs
from pps_torch.reserved import ABSENT


def add_stuff(
    owner: Tensor,
    keep: Tensor,
    order: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    *,
    sources: Tensor | None = None,
    stuff_area_limit: float,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Fill what no instance owns with stuff, number the segments, and fill in their table.

    Kept instances come first, by rank; then the stuff classes in the order of `stuff_ids`,
    one segment each, if at least `stuff_area_limit` of its pixels are left (and one at least).

    Args:
        owner: `(B, H, W)` int32, rank + 1 of the instance that owns a pixel, 0 for none.
        keep: `(B, N)` bool, by rank.
        order: `(B, N)` int64, the index of the instance at each rank.
        scores, pred_classes: `(B, N)` float and any integer dtype, by index.
        sem_seg: `(B, H, W)` int; labels that are not in `stuff_ids` become void.
        stuff_ids: `(K,)` int64, distinct.
        sources: `(B, N)` int64, by index: what an instance was made from. Default: its index.
        stuff_area_limit: pixels that a stuff segment needs at least.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `PanopticSegmentation` of B images, with a capacity of N + K segments.
    """
    least_area = whole_pixels(stuff_area_limit)
    if uses_triton(backend, owner):
        from pps_torch.ops.painting.triton import add_stuff as twin

        inputs = (owner, keep, order, scores, pred_classes, sem_seg, stuff_ids, sources)
        return PanopticSegmentation(*twin.add_stuff(*inputs, least_area))
    panoptic_seg, segment_ids, areas = _paint_segments(owner, keep, sem_seg, stuff_ids, least_area)
    things = torch.ones_like(keep)
    stuff_shape = (keep.shape[0], stuff_ids.numel())
    classes = [pred_classes.long().gather(1, order), stuff_ids.expand(stuff_shape)]
    source = order if sources is None else sources.gather(1, order)
    rows = segment_ids - 1

    def place(things: Tensor, stuff: Tensor, *, unused: int) -> Tensor:
        return place_rows(torch.cat([things, stuff], 1), rows, unused=unused)

    return PanopticSegmentation(
        panoptic_seg=panoptic_seg,
        category_ids=place(*classes, unused=ABSENT),
        is_thing=place(things, things.new_zeros(stuff_shape), unused=0),
        scores=place(scores.gather(1, order), scores.new_zeros(stuff_shape), unused=0),
        areas=place_rows(areas, rows, unused=0),
        source=place(source, source.new_full(stuff_shape, ABSENT), unused=ABSENT),
        num_segments=(segment_ids > 0).sum(1),
    )


def whole_pixels(stuff_area_limit: float) -> int:
    """The limit as a whole number of pixels, 1 at least, exact at any size."""
    return math.ceil(min(max(stuff_area_limit, 1), 1 << 62))


def place_rows(values: Tensor, rows: Tensor, *, unused: int) -> Tensor:
    """Place each value in the row of its segment.

    Args:
        values: `(B, S)`.
        rows: `(B, S)` int64 in `0..S-1`, or -1 for a value that is dropped.
        unused: the value of rows that get none.

    Returns:
        `(B, S)` of the dtype of `values`.
    """
    num_images, capacity = values.shape
    table = values.new_full((num_images, capacity + 1), unused)
    table.scatter_(1, torch.where(rows >= 0, rows, capacity), values)
    return table[:, :capacity]


def _paint_segments(
    owner: Tensor, keep: Tensor, sem_seg: Tensor, stuff_ids: Tensor, least_area: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Number the segments, and paint their ids.

    Returns:
        `panoptic_seg (B, H, W)` int32; for the N instances and then the K classes
        `segment_ids (B, N + K)` int64, 0 for those that are no segment, and
        `areas (B, N + K)` int64, the pixels that each of them has.
    """
    (num_images, num_instances), num_stuff = keep.shape, stuff_ids.numel()
    num_slots = 1 + num_stuff + num_instances  # void, stuff, instances
    runs = pixel_runs(owner.flatten(1), sem_seg.flatten(1))
    run_owner, run_label = runs.maps
    slot = torch.where(run_owner > 0, run_owner + num_stuff, index_of(run_label, stuff_ids) + 1)
    slot = runs.places(slot, num_slots, num_images).long()
    counts = runs.lengths.new_zeros(num_images * num_slots).scatter_add_(0, slot, runs.lengths)
    void, stuff, things = counts.view(num_images, num_slots).split([1, num_stuff, num_instances], 1)
    is_segment = torch.cat([keep, stuff >= least_area], 1)
    segment_ids = is_segment.cumsum(1) * is_segment
    ids_of_things, ids_of_stuff = segment_ids.split([num_instances, num_stuff], 1)
    id_of_slot = torch.cat([torch.zeros_like(void), ids_of_stuff, ids_of_things], 1)
    panoptic_seg = runs.expand(id_of_slot.to(torch.int32).flatten().index_select(0, slot))
    return panoptic_seg.view(sem_seg.shape), segment_ids, torch.cat([things, stuff], 1)

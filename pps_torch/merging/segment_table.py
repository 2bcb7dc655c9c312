"""The table of segments: the last step of the merges, which fills a `PanopticSegmentation`."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.ops.painting.fill_stuff import fill_stuff
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
        scores, pred_classes: `(B, N)` float and int64, by index.
        sem_seg: `(B, H, W)` int; labels that are not in `stuff_ids` become void.
        stuff_ids: `(K,)` int64, distinct.
        sources: `(B, N)` int64, by index: what an instance was made from. Default: its index.
        stuff_area_limit: pixels that a stuff segment needs at least.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `PanopticSegmentation` of B images, with a capacity of N + K segments.
    """
    num_images = len(keep)
    panoptic_seg, segment_ids, areas = fill_stuff(
        owner, keep, sem_seg, stuff_ids, stuff_area_limit=stuff_area_limit, backend=backend
    )
    things = torch.ones_like(keep)
    stuff_shape = (num_images, stuff_ids.numel())
    stuff_classes = stuff_ids.expand(stuff_shape)
    category_ids = torch.cat([pred_classes.gather(1, order), stuff_classes], 1)
    is_thing = torch.cat([things, things.new_zeros(stuff_shape)], 1)
    scores = torch.cat([scores.gather(1, order), scores.new_zeros(stuff_shape)], 1)
    source = order if sources is None else sources.gather(1, order)
    source = torch.cat([source, source.new_full(stuff_shape, ABSENT)], 1)
    rows = segment_ids - 1
    return PanopticSegmentation(
        panoptic_seg=panoptic_seg,
        category_ids=place_rows(category_ids, rows, unused=ABSENT),
        is_thing=place_rows(is_thing, rows, unused=0),
        scores=place_rows(scores, rows, unused=0),
        areas=place_rows(areas, rows, unused=0),
        source=place_rows(source, rows, unused=ABSENT),
        num_segments=(segment_ids > 0).sum(1),
    )


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


def unflatten_batch(result: PanopticSegmentation, batch: tuple[int, ...]) -> PanopticSegmentation:
    """Give the fields of `(B, ...)` the batch dimensions `(*B, ...)` of the inputs."""
    return PanopticSegmentation(*(field.reshape((*batch, *field.shape[1:])) for field in result))

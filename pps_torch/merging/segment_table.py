"""From painted instances and a semantic map to segments: the last step of the heuristic merge."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.formats.checks import check_integer
from pps_torch.formats.reserved import ABSENT
from pps_torch.ops.index_of import index_of
from pps_torch.ops.pair_counts import pair_counts
from pps_torch.ops.pixel_runs import pixel_runs


def add_stuff(
    owner: Tensor,
    keep: Tensor,
    order: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    stuff_area_limit: float,
) -> PanopticSegmentation:
    """Fills what no instance owns with stuff, and numbers the segments.

    Kept instances come first, by rank; then the stuff classes in the order of ``stuff_ids``,
    one segment each, if at least ``stuff_area_limit`` of its pixels are left (and one at least).

    Args:
        owner: ``(B, H, W)`` int32, rank + 1 of the instance that owns a pixel, 0 for none.
        keep, order: ``(B, N)``, by rank.
        scores, pred_classes: ``(B, N)``, by index.
        sem_seg: ``(B, H, W)`` int; labels that are not in ``stuff_ids`` (K,) become void.
    """
    num_images, num_instances = keep.shape
    runs = pixel_runs(owner.flatten(1), sem_seg.flatten(1))
    run_owner, run_label = runs.maps
    stuff = index_of(run_label, stuff_ids) + 1
    slot = torch.where(
        run_owner > 0, run_owner.long(), torch.where(stuff > 0, stuff + num_instances, 0)
    )
    num_slots = 1 + num_instances + stuff_ids.numel()
    areas = pair_counts(runs, torch.zeros_like(slot), slot, 1, num_slots, num_images)[:, 0]
    stuff_areas = areas[:, 1 + num_instances :]
    keep_stuff = (stuff_areas >= stuff_area_limit) & (stuff_areas > 0)

    is_kept = torch.cat([keep, keep_stuff], 1)
    segment_of_slot = torch.cat([areas.new_zeros(num_images, 1), is_kept.cumsum(1) * is_kept], 1)
    num_segments = is_kept.sum(1)
    panoptic_seg = segment_of_slot[runs.image, slot].to(torch.int32)

    things = torch.ones_like(keep)
    stuff_rows = (num_images, stuff_ids.numel())
    columns = {
        "category_ids": (pred_classes.gather(1, order), stuff_ids.expand(stuff_rows), ABSENT),
        "is_thing": (things, things.new_zeros(stuff_rows), 0),
        "scores": (scores.gather(1, order), scores.new_zeros(stuff_rows), 0),
        "source": (order, order.new_full(stuff_rows, ABSENT), ABSENT),
    }
    row_of_slot = segment_of_slot[:, 1:] - 1
    table = {
        name: place_rows(torch.cat([of_instances, of_stuff], 1), row_of_slot, unused)
        for name, (of_instances, of_stuff, unused) in columns.items()
    }
    return PanopticSegmentation(
        panoptic_seg=runs.expand(panoptic_seg).view(sem_seg.shape),
        areas=place_rows(areas[:, 1:], row_of_slot, 0),
        num_segments=num_segments,
        **table,
    )


def place_rows(values: Tensor, rows: Tensor, unused: int) -> Tensor:
    """Writes ``values (B, S)`` to the rows ``rows (B, S)``; row -1 is dropped, others unused."""
    num_images, capacity = values.shape
    table = values.new_full((num_images, capacity + 1), unused)
    table.scatter_(1, torch.where(rows >= 0, rows, capacity), values)
    return table[:, :capacity]


def unflatten_batch(result: PanopticSegmentation, batch: tuple[int, ...]) -> PanopticSegmentation:
    """Gives ``(B, ...)`` fields the batch shape of the inputs."""
    return PanopticSegmentation(*(field.reshape((*batch, *field.shape[1:])) for field in result))


def as_id_tensor(name: str, ids: Sequence[int] | Tensor, device: torch.device) -> Tensor:
    """A list of distinct ids, or a tensor ``(K,)`` of them, as an int64 tensor on ``device``."""
    if isinstance(ids, Tensor):
        check_integer(name, ids)
        return ids.to(device, torch.int64)
    ids = [operator.index(value) for value in ids]
    if len(set(ids)) != len(ids) or min(ids, default=0) < 0:
        raise ValueError(f"{name}: expected distinct ids of 0 or more, got {ids}")
    return torch.tensor(ids, dtype=torch.int64, device=device)

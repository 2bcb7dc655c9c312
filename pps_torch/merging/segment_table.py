"""From painted instances and a semantic map to segments: the last step of the heuristic merge."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pps_torch.checks import can_keep_tensors, check_integer, checks_values
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
    stuff_area_limit: float,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Fills what no instance owns with stuff, and numbers the segments.

    Kept instances come first, by rank; then the stuff classes in the order of `stuff_ids`,
    one segment each, if at least `stuff_area_limit` of its pixels are left (and one at least).

    Args:
        owner: `(B, H, W)` int32, rank + 1 of the instance that owns a pixel, 0 for none.
        keep, order: `(B, N)`, by rank.
        scores, pred_classes: `(B, N)`, by index.
        sem_seg: `(B, H, W)` int; labels that are not in `stuff_ids` (K,) become void.
    """
    num_images = len(keep)
    panoptic_seg, segment_ids, areas = fill_stuff(
        owner, keep, sem_seg, stuff_ids, stuff_area_limit, backend
    )
    things = torch.ones_like(keep)
    stuff_rows = (num_images, stuff_ids.numel())
    columns = {
        "category_ids": (pred_classes.gather(1, order), stuff_ids.expand(stuff_rows), ABSENT),
        "is_thing": (things, things.new_zeros(stuff_rows), 0),
        "scores": (scores.gather(1, order), scores.new_zeros(stuff_rows), 0),
        "source": (order, order.new_full(stuff_rows, ABSENT), ABSENT),
    }
    rows = segment_ids - 1
    table = {
        name: place_rows(torch.cat([of_instances, of_stuff], 1), rows, unused)
        for name, (of_instances, of_stuff, unused) in columns.items()
    }
    return PanopticSegmentation(
        panoptic_seg=panoptic_seg,
        areas=place_rows(areas, rows, 0),
        num_segments=(segment_ids > 0).sum(1),
        **table,
    )


def place_rows(values: Tensor, rows: Tensor, unused: int) -> Tensor:
    """Writes `values (B, S)` to the rows `rows (B, S)`; row -1 is dropped, others unused."""
    num_images, capacity = values.shape
    table = values.new_full((num_images, capacity + 1), unused)
    table.scatter_(1, torch.where(rows >= 0, rows, capacity), values)
    return table[:, :capacity]


def unflatten_batch(result: PanopticSegmentation, batch: tuple[int, ...]) -> PanopticSegmentation:
    """Gives `(B, ...)` fields the batch shape of the inputs."""
    return PanopticSegmentation(*(field.reshape((*batch, *field.shape[1:])) for field in result))


def as_id_tensor(
    name: str,
    ids: Sequence[int] | Tensor,
    device: torch.device,
    *,
    num_classes: int | None = None,
    validate: bool | None = None,
) -> Tensor:
    """Ids of categories, or indices of `num_classes` classes, as an int64 tensor on `device`.

    Args:
        ids: distinct, as ints or a tensor `(K,)`.
        validate: look at the values of a tensor, too. Default: on the CPU only.
    """
    if isinstance(ids, Tensor):
        check_integer(name, ids)
        if ids.ndim != 1:
            raise ValueError(f"{name}: expected shape (K,), got {tuple(ids.shape)}")
        if checks_values(validate, ids):
            _check_ids(name, ids.tolist(), num_classes)
        return ids.to(device, torch.int64)
    try:
        ids = [operator.index(value) for value in ids]
    except TypeError:
        raise TypeError(f"{name}: expected ints, got {ids}") from None
    _check_ids(name, ids, num_classes)
    if device.type == "cpu" or torch.compiler.is_compiling() or not can_keep_tensors():
        return torch.tensor(ids, dtype=torch.int64, device=device)
    return _copied_ids(tuple(ids), device)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _copied_ids(ids: tuple[int, ...], device: torch.device) -> Tensor:
    """Ids on a device, copied once: a copy waits for the device, which a merge must not."""
    return torch.tensor(ids, dtype=torch.int64).to(device)


def _check_ids(name: str, ids: list[int], num_classes: int | None) -> None:
    is_too_high = num_classes is not None and max(ids, default=-1) >= num_classes
    if len(set(ids)) != len(ids) or min(ids, default=0) < 0 or is_too_high:
        kind = "ids of 0 or more" if num_classes is None else f"class indices 0..{num_classes - 1}"
        raise ValueError(f"{name}: expected distinct {kind}, got {ids}")

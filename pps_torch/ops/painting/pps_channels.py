"""The channels of PPS maps, looked up from the segment and the flat part of each pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.pixel_runs import pixel_runs


def pps_channels(
    segment: Tensor,
    part: Tensor,
    category_ids: Tensor,
    pid_of_sid_flat: Tensor,
    *,
    ignore_label: int,
    backend: str = "auto",
) -> Tensor:
    """Look up scene class, instance and part of each pixel.

    Args:
        segment: `(*B, H, W)` int, segment ids; 0, and those outside `0..S`, are void.
        part: `(*B, H, W)` int, flat part ids.
        category_ids: `(*B, S)` int, the scene id of segments 1..S; a negative one, and one
            that int32 cannot hold, is void.
        pid_of_sid_flat: `(E + 1, F + 2)` int64, part by scene id and flat part id; the last row
            and column stand for every id outside.
        ignore_label: scene id of void, which has no instance and no part.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `(*B, 3, H, W)` int32: scene class, instance (from 1 on within a class), part.
    """
    if uses_triton(backend, segment):
        from pps_torch.ops.painting.triton import pps_channels as twin

        return twin.pps_channels(segment, part, category_ids, pid_of_sid_flat, ignore_label)
    *batch, height, width = segment.shape
    num_images = math.prod(segment.shape[:-2])
    categories = category_ids.reshape(num_images, category_ids.shape[-1]).long()
    other = pid_of_sid_flat.shape[0] - 1
    sids, iids, rows = _number_segments(categories, other, ignore_label)
    runs = pixel_runs(*(ids.reshape(num_images, height * width) for ids in (segment, part)))
    run_segment, run_part = (_widen(values) for values in runs.maps)
    # Ids outside have a place on both sides: a row that is void, and a column that is no part.
    place = runs.places(run_segment.clamp(-1, sids.shape[1] - 2) + 1, sids.shape[1], num_images)
    pid_of_place = F.pad(torch.cat([pid_of_sid_flat[:, -1:], pid_of_sid_flat], 1), (0, 0, 0, 1))
    column = run_part.clamp(-1, pid_of_sid_flat.shape[1] - 1) + 1
    tables = (sids, iids, rows * pid_of_place.shape[1])
    sid, iid, row = (table.int().flatten().index_select(0, place) for table in tables)
    pid = pid_of_place.int().flatten().index_select(0, row + column)
    channels = runs.expand(torch.stack([sid, iid, pid]))
    channels = channels.view(3, num_images, height, width).transpose(0, 1)
    return channels.reshape(*batch, 3, height, width)


def _widen(ids: Tensor) -> Tensor:
    """Ids in int32 at least, so that computing with them does not wrap."""
    return ids.to(torch.promote_types(ids.dtype, torch.int32))


def _number_segments(
    category_ids: Tensor, other: int, ignore_label: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Number what segments `(B, S)` are: ids outside, void, segments 1..S, and ids outside.

    Returns:
        scene id, instance, and row of the parts: `other` for scene ids that have none, and one
        more for void; each `(B, S + 3)` int64.
    """
    is_used = (category_ids >= 0) & (category_ids <= torch.iinfo(torch.int32).max)
    same = category_ids[:, :, None] == category_ids[:, None, :]
    sids = torch.where(is_used, category_ids, ignore_label)
    iids = torch.where(is_used, same.tril().sum(2), 0)
    rows = torch.where(is_used, category_ids.clamp(max=other), other + 1)
    ends = (2, 1)
    sids, iids = F.pad(sids, ends, value=ignore_label), F.pad(iids, ends)
    return sids, iids, F.pad(rows, ends, value=other + 1)

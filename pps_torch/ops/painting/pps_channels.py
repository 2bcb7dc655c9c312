"""The channels of PPS maps, looked up from the segment and the flat part of each pixel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

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
        category_ids: `(*B, S)` int, the scene id of segments 1..S; a negative one is void.
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
    sids, iids = _number_instances(categories, ignore_label)
    runs = pixel_runs(*(ids.reshape(num_images, height * width) for ids in (segment, part)))
    run_segment, run_part = (values.long() for values in runs.maps)
    is_outside = (run_segment < 0) | (run_segment >= sids.shape[1])
    run_segment = torch.where(is_outside, 0, run_segment)
    last_row, last_column = pid_of_sid_flat.shape[0] - 1, pid_of_sid_flat.shape[1] - 1
    rows = torch.where((sids < 0) | (sids > last_row), last_row, sids) * (last_column + 1)
    place = runs.image * sids.shape[1] + run_segment
    row, sid, iid = (
        table.flatten().index_select(0, place) for table in (rows, sids.int(), iids.int())
    )
    column = torch.where((run_part < 0) | (run_part > last_column), last_column, run_part)
    pid = pid_of_sid_flat.int().flatten().index_select(0, row + column)
    pid = torch.where(iid > 0, pid, 0)
    channels = runs.expand(torch.stack([sid, iid, pid]))
    channels = channels.view(3, num_images, height, width).transpose(0, 1)
    return channels.reshape(*batch, 3, height, width)


def _number_instances(category_ids: Tensor, ignore_label: int) -> tuple[Tensor, Tensor]:
    """Find scene id and instance of void and of segments 1..S, both `(B, S + 1)` int64."""
    is_used = category_ids >= 0
    same = category_ids[:, :, None] == category_ids[:, None, :]
    void = category_ids.new_zeros(category_ids.shape[0], 1)
    sids = torch.cat([void + ignore_label, torch.where(is_used, category_ids, ignore_label)], 1)
    return sids, torch.cat([void, torch.where(is_used, same.tril().sum(2), 0)], 1)

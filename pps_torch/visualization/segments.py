"""The segments of a PPS map as the rows of a table."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.reserved import ABSENT
from pps_torch.visualization.lookup import take

_HIGHEST_COUNTED = 4095  # where instance numbers are higher, only those in the map get rows


class PPSSegments(NamedTuple):
    """The row of each pixel in the table of segments, and what the rows are.

    Rows go image by image, scene class by scene class, instance number by instance number.

    Attributes:
        rows: `(*B, H, W)` int32, the row of each pixel.
        sids, numbers: `(R,)` int64, scene class and instance number of each row, whether or not
            the map has such a segment.
    """

    rows: Tensor
    sids: Tensor
    numbers: Tensor


def pps_segments(pps: Tensor, row_of_sid: Tensor) -> PPSSegments:
    """Find the segments of a map `(*B, 3, H, W)`.

    Args:
        pps: the map; its scene classes are those that have a row.
        row_of_sid: see [`Paints`][pps_torch.visualization.colors.Paints].
    """
    all_sids = (row_of_sid != ABSENT).nonzero()[:, 0]
    sids, iids, _ = pps.unbind(-3)
    highest = int(iids.max()) if iids.numel() else 0
    if highest <= _HIGHEST_COUNTED:
        numbers = torch.arange(highest + 1, device=pps.device)
    else:
        numbers, iids = iids.unique(return_inverse=True)
    *batch, _, _ = sids.shape
    images = torch.arange(math.prod(batch), dtype=torch.int32, device=pps.device)
    rows = take(row_of_sid, sids.int()).add_(images.view(*batch, 1, 1) * len(all_sids))
    rows = rows.mul_(len(numbers)).add_(iids)
    classes = all_sids.repeat_interleave(len(numbers))
    return PPSSegments(
        rows, classes.repeat(len(images)), numbers.long().repeat(len(images) * len(all_sids))
    )

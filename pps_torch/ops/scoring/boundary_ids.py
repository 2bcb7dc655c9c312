"""The boundaries of all segments of a map at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.reserved import VOID_ID

#: What takes the place of the id in the interior of a segment; no id is negative.
INTERIOR = -1


def boundary_ids(ids: Tensor, distance: int) -> Tensor:
    """Keep the ids of a map along the boundaries of its segments.

    A pixel lies in the interior of its segment when the square of `2 * distance + 1` pixels
    around it lies in the image and in the segment: eroding the mask `distance` times by 3 x 3
    leaves exactly these. The rest of the segment is its boundary. Void stays void everywhere.

    Two prefix sums count where neighbours differ, along rows and then along columns, so the time
    depends neither on the distance nor on the number of segments.

    Args:
        ids: `(B, H, W)`, any integer dtype; 0 is void.
        distance: pixels, at least 1.

    Returns:
        `(B, H, W)`, a signed dtype: the id on boundaries, -1 in interiors, 0 on void.

    Raises:
        ValueError: for a distance below 1.

    Example:
        >>> boundary_ids(torch.full((1, 4, 5), 7), 1)
        tensor([[[ 7,  7,  7,  7,  7],
                 [ 7, -1, -1, -1,  7],
                 [ 7, -1, -1, -1,  7],
                 [ 7,  7,  7,  7,  7]]])
    """
    if distance < 1:
        raise ValueError(f"distance: expected at least 1 pixel, found {distance}")
    ids = ids.to(torch.promote_types(ids.dtype, torch.int16))
    height, width = ids.shape[1:]
    if min(height, width) <= 2 * distance:
        return ids
    is_row_equal = _is_unbroken(ids[:, :, 1:] != ids[:, :, :-1], distance, 2)
    columns = ids[:, :, distance : width - distance]
    is_break = (columns[:, 1:] != columns[:, :-1]) | ~is_row_equal[:, 1:] | ~is_row_equal[:, :-1]
    is_interior = F.pad(_is_unbroken(is_break, distance, 1), [distance] * 4)
    return torch.where(is_interior & (ids != VOID_ID), INTERIOR, ids)


def _is_unbroken(is_break: Tensor, distance: int, dim: int) -> Tensor:
    """Whether nothing breaks between positions `i` and `i + 2 * distance`, for each such `i`.

    `is_break` has the gaps between positions, so one entry less than there are positions.
    """
    first = torch.zeros_like(is_break.narrow(dim, 0, 1), dtype=torch.int32)
    before = torch.cat([first, is_break.cumsum(dim, dtype=torch.int32)], dim)
    length = before.shape[dim] - 2 * distance
    return before.narrow(dim, 2 * distance, length) == before.narrow(dim, 0, length)

"""The id of each pixel, looked up from its owner."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.counting.pixel_runs import pixel_runs


def paint_ids(owner: Tensor, ids: Tensor) -> Tensor:
    """Paint each pixel with the id of its owner.

    Args:
        owner: `(B, H, W)` int32 in `0..N`, 0 for none.
        ids: `(B, N)` int64, the ids of owners 1..N.

    Returns:
        `(B, H, W)` int32, 0 for pixels without owner.
    """
    runs = pixel_runs(owner.flatten(1))
    table = torch.cat([ids.new_zeros(ids.shape[0], 1), ids], 1).to(torch.int32)
    place = runs.places(runs.maps[0], table.shape[1], ids.shape[0])
    return runs.expand(table.flatten().index_select(0, place)).view(owner.shape)

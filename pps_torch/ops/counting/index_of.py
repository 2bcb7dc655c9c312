"""Positions of ids in a list of ids, without a dense table."""

from __future__ import annotations

import torch
from torch import Tensor


def index_of(values: Tensor, ids: Tensor) -> Tensor:
    """Look up the index of each value in `ids`, -1 where it is not there.

    Args:
        values: tensor of any shape and integer dtype.
        ids: `(K,)` distinct integers in any order.

    Returns:
        int64 of the shape of `values`.

    Example:
        >>> index_of(torch.tensor([[26, 5, 7]]), torch.tensor([7, 26]))
        tensor([[ 1, -1,  0]])
    """
    if ids.numel() == 0:
        return torch.full_like(values, -1, dtype=torch.int64)
    sorted_ids, order = ids.long().sort()
    values = values.long().contiguous()
    position = torch.searchsorted(sorted_ids, values).clamp(max=ids.numel() - 1)
    return torch.where(sorted_ids[position] == values, order[position], -1)

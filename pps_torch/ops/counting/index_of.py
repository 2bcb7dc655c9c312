"""Positions of ids in a list of ids, which may be large numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.fold import at, first_places, fold, is_one_loop

_TABLE_SIZE = 1 << 16


def index_of(values: Tensor, ids: Tensor) -> Tensor:
    """Look up the index of each value in `ids`, -1 where it is not there.

    Args:
        values: tensor of any shape and integer dtype.
        ids: `(K,)` distinct integers in any order.

    Returns:
        int32 of the shape of `values`.

    Example:
        >>> index_of(torch.tensor([[26, 5, 7]]), torch.tensor([7, 26])).tolist()
        [[1, -1, 0]]
    """
    if is_one_loop():
        return _look_up(values, ids.long())
    if ids.numel() == 0:
        return torch.full_like(values, -1, dtype=torch.int32)
    sorted_ids, order = ids.long().sort()
    values = values.long().contiguous()
    position = torch.searchsorted(sorted_ids, values).clamp(max=ids.numel() - 1)
    return torch.where(sorted_ids[position] == values, order.int()[position], -1)


def _look_up(values: Tensor, ids: Tensor) -> Tensor:
    """Look up small ids in a table, others in a loop: ONNX has no function for `searchsorted`."""
    flat = values.to(torch.promote_types(values.dtype, torch.int32)).flatten()
    narrow = ids.to(flat.dtype)
    is_small = (ids >= 0) & (ids < _TABLE_SIZE)
    is_other = ~is_small & (narrow == ids)  # what flat cannot hold is nowhere
    number = torch.arange(1, ids.shape[0] + 1, device=ids.device, dtype=torch.int32)
    # A place more on both sides is for values outside.
    table = number.new_zeros(_TABLE_SIZE + 2)
    table = table.scatter(0, torch.where(is_small, ids + 1, 0), number * is_small)
    found = table.index_select(0, flat.clamp(-1, _TABLE_SIZE) + 1)
    others = first_places(is_other)

    def step(index: Tensor, found: Tensor) -> tuple[Tensor]:
        other = at(others, 0, index)
        is_same = flat == narrow.index_select(0, other)
        return (torch.where(is_same, number.index_select(0, other), found),)

    return (fold(step, (found,), is_other.sum())[0] - 1).view(values.shape)

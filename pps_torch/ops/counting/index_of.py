"""Positions of ids in a list of ids, without a dense table."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.fold import at, fold, is_one_loop


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
    if is_one_loop():
        return _index_in_loop(values.long(), ids)
    if ids.numel() == 0:
        return torch.full_like(values, -1, dtype=torch.int64)
    sorted_ids, order = ids.long().sort()
    values = values.long().contiguous()
    position = torch.searchsorted(sorted_ids, values).clamp(max=ids.numel() - 1)
    return torch.where(sorted_ids[position] == values, order[position], -1)


def _index_in_loop(values: Tensor, ids: Tensor) -> Tensor:
    """Compare values with id after id: ONNX has no function for `searchsorted`."""

    def step(index: Tensor, found: Tensor) -> tuple[Tensor]:
        return (torch.where(values == at(ids, 0, index), index.to(torch.int32), found),)

    absent = torch.full_like(values, -1, dtype=torch.int32)
    return fold(step, (absent,), ids.shape[0])[0].long()

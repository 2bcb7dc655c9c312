"""Positions of ids in a list of ids, without a dense table."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.fold import fold, is_one_loop


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
    position = _last_not_above if is_one_loop() else torch.searchsorted
    place = position(sorted_ids, values).clamp(max=ids.numel() - 1)
    return torch.where(sorted_ids[place] == values, order[place], -1)


def _last_not_above(sorted_ids: Tensor, values: Tensor) -> Tensor:
    """Find the last of rising ids that is not above a value, else 0, by halving steps.

    ONNX has no function for `searchsorted`.
    """
    last = sorted_ids.shape[0] - 1
    powers = 2 ** torch.arange(31, device=values.device)
    powers = torch.where(powers <= last, powers, 0)

    def step(_: Tensor, place: Tensor, stride: Tensor) -> tuple[Tensor, Tensor]:
        further = place + stride
        ids = sorted_ids[further.clamp(max=last)]
        place = torch.where((further <= last) & (ids <= values), further, place)
        return place, stride // 2

    return fold(step, (torch.zeros_like(values), powers.amax(0)), (powers > 0).sum())[0]

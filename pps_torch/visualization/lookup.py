"""Tables looked up at each pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Look up a table `(N, 3)` at each pixel: `(*B, H, W)` indices become `(*B, 3, H, W)`."""
    return torch.stack([take(channel, index) for channel in table.T.contiguous()], dim=-3)


def take(table: Tensor, index: Tensor) -> Tensor:
    """Look up a table `(N,)` at each pixel; the result has the shape of `index`."""
    return table.index_select(0, index.flatten()).view(index.shape)

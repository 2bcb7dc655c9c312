"""Runs of pixels that the caller has found already."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.counting.pixel_runs import PixelRuns


def given_runs(lengths: Tensor, *maps: Tensor) -> PixelRuns:
    """Take maps whose entries are runs.

    Args:
        lengths: `(B, R)` int64, the pixels of each run; a run of 0 pixels counts for nothing.
        maps: `(B, R)` each.

    Example:
        >>> given_runs(torch.tensor([[5, 2]]), torch.tensor([[7, 26]])).maps
        (tensor([ 7, 26]),)
    """
    image = torch.arange(len(lengths), device=lengths.device)[:, None].expand(lengths.shape)
    flat = tuple(values.reshape(-1) for values in maps)
    return PixelRuns(flat, image.reshape(-1), lengths.reshape(-1), is_collapsed=True)

"""Maps as runs of equal neighbours, the form in which the CPU counts and merges them.

NumPy does these three steps several times faster than torch does; the tensors share their memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def run_starts(flat_maps: Sequence[Tensor], num_pixels: int) -> Tensor:
    """Find the first pixels of the runs of pixels that are equal in all maps.

    Args:
        flat_maps: maps of shape `(B * P,)`, on the CPU.
        num_pixels: `P`; a run never crosses from one image to the next.

    Returns:
        `(R,)` int64, rising.
    """
    size = flat_maps[0].numel()
    words = np.zeros(-(-size // 8), np.uint64)
    begins = words.view(bool)[:size]  # a byte a pixel
    first, *others = (values.numpy() for values in flat_maps)
    np.not_equal(first[1:], first[:-1], out=begins[1:])
    for array in others:
        begins[1:] |= array[1:] != array[:-1]
    begins[:: max(num_pixels, 1)] = True
    # Most words begin no run: looking through words first takes less time than through bytes.
    some = np.flatnonzero(words != 0)
    position = np.flatnonzero(words[some].view(bool))
    return torch.from_numpy(some[position >> 3] * 8 + (position & 7))


def run_lengths(starts: Tensor, num_pixels: int) -> Tensor:
    """Count the pixels of each run, `(R,)` int64, for all `num_pixels` of the maps."""
    return torch.diff(starts, append=starts.new_tensor([num_pixels]))


def expand_runs(values: Tensor, lengths: Tensor) -> Tensor:
    """Repeat the values of runs `(*, R)` for each of their pixels, `(*, P)`, on the CPU."""
    return torch.from_numpy(np.repeat(values.numpy(), lengths.numpy(), axis=-1))

"""Maps as runs of equal neighbours, the form in which the CPU counts and merges them.

NumPy does these steps several times faster than torch does; the tensors share their memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: Pixels that are looked at at a time: what is found of them stays in the processor's cache.
BLOCK = 1 << 17


def run_starts(flat_maps: Sequence[Tensor], num_pixels: int) -> Tensor:
    """Find the first pixels of the runs of pixels that are equal in all maps.

    Args:
        flat_maps: maps of shape `(B * P,)`, on the CPU.
        num_pixels: `P`; a run never crosses from one image to the next.

    Returns:
        `(R,)` int64, rising.
    """
    arrays = [values.numpy() for values in flat_maps]
    size = arrays[0].size
    begins, differs = np.empty((2, min(BLOCK, size)), bool)
    starts: list[npt.NDArray[Any]] = [np.empty(0, np.int64)]
    for first in range(0, size, BLOCK):
        last, second = min(first + BLOCK, size), max(first, 1)
        found, differing = begins[second - first : last - first], differs[: last - second]
        np.not_equal(arrays[0][second:last], arrays[0][second - 1 : last - 1], out=found)
        for array in arrays[1:]:
            np.not_equal(array[second:last], array[second - 1 : last - 1], out=differing)
            np.logical_or(found, differing, out=found)
        begins[-first % num_pixels : last - first : num_pixels] = True
        starts.append(np.flatnonzero(begins[: last - first]) + first)
    return torch.from_numpy(np.concatenate(starts))


def run_lengths(starts: Tensor, num_pixels: int) -> Tensor:
    """Count the pixels of each run, `(R,)` int64, for all `num_pixels` of the maps."""
    first = starts.numpy()
    lengths = np.empty_like(first)
    np.subtract(first[1:], first[:-1], out=lengths[:-1])
    lengths[-1:] = num_pixels - first[-1:]
    return torch.from_numpy(lengths)


def expand_runs(values: Tensor, lengths: Tensor) -> Tensor:
    """Repeat the values of runs `(*, R)` for each of their pixels, `(*, P)`, on the CPU."""
    return torch.from_numpy(np.repeat(values.numpy(), lengths.numpy(), axis=-1))

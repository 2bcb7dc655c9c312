"""Maps as runs of equal neighbours, the form in which the CPU counts and merges them.

NumPy does these steps several times faster than torch does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array = npt.NDArray[Any]

#: Pixels that are looked at at a time: what is found of them stays in the processor's cache, and in
#: memory that is used again.
_BLOCK = 1 << 15


def run_starts(flat_maps: Sequence[Array], num_pixels: int) -> Array:
    """Find the first pixels of the runs of pixels that are equal in all maps.

    Args:
        flat_maps: maps of shape `(B * P,)`.
        num_pixels: `P`; a run never crosses from one image to the next.

    Returns:
        `(R,)` int64, rising.
    """
    size = flat_maps[0].size
    begins, differs = np.empty((2, min(_BLOCK, size)), bool)
    starts: list[Array] = [np.empty(0, np.int64)]
    for first in range(0, size, _BLOCK):
        last, second = min(first + _BLOCK, size), max(first, 1)
        found, differing = begins[second - first : last - first], differs[: last - second]
        for number, values in enumerate(flat_maps):
            out = differing if number else found
            np.not_equal(values[second:last], values[second - 1 : last - 1], out=out)
            if number:
                np.logical_or(found, differing, out=found)
        begins[-first % num_pixels : last - first : num_pixels] = True
        starts.append(np.flatnonzero(begins[: last - first]) + first)
    return np.concatenate(starts)


def run_lengths(starts: Array, num_pixels: int) -> Array:
    """Count the pixels of each run, `(R,)` int64, for all `num_pixels` of the maps."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = num_pixels - starts[-1:]
    return lengths


def expand_runs(values: Tensor, lengths: Tensor) -> Tensor:
    """Repeat the values of runs `(*, R)` for each of their pixels, `(*, P)`, on the CPU."""
    return torch.from_numpy(np.repeat(values.numpy(), lengths.numpy(), axis=-1))

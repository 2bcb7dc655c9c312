"""Joint counts of two maps of ids; those out of range share the last row or column."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.pair_counts import pair_counts
from pps_torch.ops.counting.pixel_runs import check_num_pixels, pixel_runs


def joint_counts(
    rows: Tensor, columns: Tensor, num_rows: int, num_columns: int, *, backend: str = "auto"
) -> Tensor:
    """Count pairs of ids over the pixels of each image.

    Args:
        rows, columns: `(B, P)` maps of any integer dtype.
        num_rows, num_columns: ids are `0..num_rows-1` and `0..num_columns-1`.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `(B, num_rows + 1, num_columns + 1)` int32; the last row and the last column hold the
        pixels of all other ids.

    Raises:
        ValueError: for images of 2**30 pixels or more.

    Example:
        >>> gt, pred = torch.tensor([[1, 1, 0]]), torch.tensor([[1, 0, 9]])
        >>> joint_counts(gt, pred, 2, 2)
        tensor([[[0, 0, 1],
                 [1, 1, 0],
                 [0, 0, 0]]], dtype=torch.int32)
    """
    check_num_pixels(rows)
    if uses_triton(backend, rows):
        from pps_torch.ops.counting.triton import joint_counts as twin

        return twin.joint_counts(rows, columns, num_rows, num_columns)
    runs = pixel_runs(rows, columns)
    row, column = (
        ids_in_range(ids, size)
        for ids, size in zip(runs.maps, (num_rows, num_columns), strict=True)
    )
    counts = pair_counts(runs, row, column, num_rows + 1, num_columns + 1, rows.shape[0])
    return counts.int()


def ids_in_range(ids: Tensor, size: int) -> Tensor:
    """Ids as int64, those outside `0..size-1` as `size`: without its sign, -1 is huge."""
    if is_on_host(ids):
        return torch.from_numpy(array_in_range(ids.numpy(), size).astype(np.int64, copy=False))
    return (ids.long().clamp(min=-1) & torch.iinfo(torch.int64).max).clamp_(max=size)


def array_in_range(ids: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """The same in NumPy, and int32 in int32, as `size` is below 2**31."""
    if ids.dtype != np.int32:
        ids = ids.astype(np.int64)
    unsigned = ids.view(np.uint32 if ids.dtype == np.int32 else np.uint64)
    return np.minimum(unsigned, size).view(ids.dtype)

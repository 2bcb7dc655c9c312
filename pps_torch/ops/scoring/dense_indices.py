"""Sparse keys become dense indices: marks, prefix sum and look-up."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.checks import is_on_host
from pps_torch.ops.backend import uses_triton


class DenseIndices(NamedTuple):
    """Numbering of the keys that are present in each image. Key 0 stands for none.

    Attributes:
        index: `(B, K)` int32, by key: 1..S in the order of the keys that are present, else 0.
        keys: `(B, S + 1)` int64, the key behind each index, 0 in column 0 and in unused ones.
        num_dropped: scalar int64, keys beyond the capacity, whose index is 0.
    """

    index: Tensor  # type: ignore[assignment]  # the name hides tuple.index
    keys: Tensor
    num_dropped: Tensor


def dense_indices(is_present: Tensor, capacity: int, *, backend: str = "auto") -> DenseIndices:
    """Numbers the keys of each image from 1 on.

    Args:
        is_present: `(B, K)` bool, by key; column 0 is not looked at.
        capacity: the most keys of an image. On the CPU the table is made only as large as the
            images need.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].
    """
    if uses_triton(backend, is_present):
        from pps_torch.ops.scoring.triton import dense_indices as twin

        return DenseIndices(*twin.dense_indices(is_present, capacity))
    num_images, num_keys = is_present.shape
    marks = is_present.int()
    marks[:, 0] = 0
    rank = marks.cumsum(1, dtype=torch.int32)
    size = capacity
    if is_on_host(rank):
        size = min(capacity, int(rank[:, -1].max()) if rank.numel() else 0)
    rank = rank * marks
    index = torch.where(rank <= size, rank, 0)
    keys = rank.new_zeros(num_images, size + 1, dtype=torch.int64)
    every_key = torch.arange(num_keys, device=rank.device).expand_as(rank)
    keys.scatter_(1, index.long(), torch.where(index > 0, every_key, 0))
    return DenseIndices(index, keys, (rank > size).sum())

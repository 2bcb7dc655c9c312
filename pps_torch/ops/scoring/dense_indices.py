"""Dense indices for sparse keys, by a prefix sum over marks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.scoring.contract import DenseIndices


def dense_indices(is_present: Tensor, capacity: int, *, backend: str = "auto") -> DenseIndices:
    """Number the keys of each image from 1 on.

    Args:
        is_present: `(B, K)` bool, by key; column 0 is not looked at.
        capacity: the most keys of an image. On the CPU the table is made only as large as the
            images need.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Example:
        >>> is_present = torch.tensor([[False, False, True, False, True]])
        >>> numbered = dense_indices(is_present, 9)
        >>> numbered.index, numbered.keys
        (tensor([[0, 0, 1, 0, 2]], dtype=torch.int32), tensor([[0, 2, 4]]))
    """
    if uses_triton(backend, is_present):
        from pps_torch.ops.scoring.triton import dense_indices as twin

        return DenseIndices(*twin.dense_indices(is_present, capacity))
    num_images, num_keys = is_present.shape
    if is_on_host(is_present):
        return _listed_indices(is_present, capacity)
    marks = is_present.int()
    marks[:, 0] = 0
    rank = marks.cumsum(1, dtype=torch.int32) * marks
    index = torch.where(rank <= capacity, rank, 0)
    keys = rank.new_zeros(num_images, capacity + 1, dtype=torch.int64)
    every_key = torch.arange(num_keys, device=rank.device).expand_as(rank)
    keys.scatter_(1, index.long(), torch.where(index > 0, every_key, 0))
    return DenseIndices(index=index, keys=keys, num_dropped=(rank > capacity).sum())


def _listed_indices(is_present: Tensor, capacity: int) -> DenseIndices:
    """Number the keys that are there, without a look at the others, in NumPy."""
    num_images, num_keys = is_present.shape
    image, key = np.divmod(np.flatnonzero(is_present.numpy()), max(num_keys, 1))
    image, key = image[key > 0], key[key > 0]
    counts = np.bincount(image, minlength=num_images)
    rank = np.arange(1, len(image) + 1) - (counts.cumsum() - counts)[image]
    size = min(capacity, int(counts.max(initial=0)))
    is_kept = rank <= size
    index = np.zeros((num_images, num_keys), np.int32)
    index[image, key] = rank * is_kept
    keys = np.zeros((num_images, size + 1), np.int64)
    keys[image[is_kept], rank[is_kept]] = key[is_kept]
    return DenseIndices(
        index=torch.from_numpy(index),
        keys=torch.from_numpy(keys),
        num_dropped=torch.tensor(int(np.count_nonzero(~is_kept)), device="cpu"),
    )

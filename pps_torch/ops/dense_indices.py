"""Sparse keys become dense indices by marking, prefix sum and look-up."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.formats.checks import is_on_host


class DenseIndices(NamedTuple):
    """Numbering of the distinct keys of each image.

    Attributes:
        index: ``(R,)`` int64, 1..S in the order of the keys; 0 for key -1.
        keys: ``(B, S + 1)`` int64, the key behind each index, -1 in column 0 and in unused ones.
        num_dropped: scalar int64, distinct keys beyond the capacity, whose index is 0.
    """

    index: Tensor
    keys: Tensor
    num_dropped: Tensor


def dense_indices(
    image: Tensor, keys: Tensor, *, num_images: int, num_keys: int, capacity: int
) -> DenseIndices:
    """Numbers the distinct keys of each image from 1 on.

    Args:
        image: ``(R,)`` int64, image of each pixel or run.
        keys: ``(R,)`` int64 in ``-1..num_keys-1``; -1 is no key.
        capacity: the most distinct keys of an image. On the CPU the table is made only as large
            as the images need.
    """
    marks = keys.new_zeros(num_images, num_keys + 1)
    slots = image * (num_keys + 1) + keys + 1
    marks.view(-1)[slots] = 1
    marks[:, 0] = 0
    rank = marks.cumsum(1)
    size = capacity
    if is_on_host(keys):
        size = min(capacity, int(rank[:, -1].max()) if rank.numel() else 0)
    rank = rank * marks
    in_table = torch.where(rank <= size, rank, 0)
    table = keys.new_full((num_images, size + 1), -1)
    every_key = torch.arange(-1, num_keys, device=keys.device).expand_as(rank)
    table.scatter_(1, in_table, torch.where(in_table > 0, every_key, -1))
    return DenseIndices(in_table.view(-1)[slots], table, (rank > size).sum())

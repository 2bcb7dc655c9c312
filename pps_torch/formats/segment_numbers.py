"""Numbers for the segment ids of a map: its pixels, and the areas of its segments."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pps_torch.checks import is_on_host
from pps_torch.formats.runs import BLOCK, run_lengths, run_starts


def number_pixels(
    ids: Tensor, sorted_keys: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor, set[int]]:
    """Number pixels by their ids.

    Args:
        ids: `(P,)`, any integer dtype.
        sorted_keys, numbers: `(K,)` int64, the ids that have a number, rising, and the number of
            each, `0..K-1`.

    Returns:
        `(P,)` int32, the areas `(K,)` int64 by number, and the ids that have no number.
    """
    if is_on_host(ids):
        return _number_runs(ids, sorted_keys, numbers)
    place = torch.searchsorted(sorted_keys, ids.long()).clamp_(max=len(sorted_keys) - 1)
    unlisted = set(ids[sorted_keys[place] != ids].unique().tolist())
    number = numbers[place]
    areas = torch.zeros_like(numbers).scatter_add_(0, number, torch.ones_like(number))
    return number.int(), areas, unlisted


def _number_runs(
    ids: Tensor, sorted_keys: Tensor, numbers: Tensor
) -> tuple[Tensor, Tensor, set[int]]:
    """The same run by run, in NumPy, block by block."""
    keys, number_of_key = sorted_keys.numpy(), numbers.numpy().astype(np.int32)
    panoptic_seg, areas, unlisted = np.empty(len(ids), np.int32), np.zeros(len(keys)), set()
    for first in range(0, len(ids), BLOCK):
        block = ids[first : first + BLOCK]
        starts = run_starts([block], len(block))
        lengths = run_lengths(starts, len(block)).numpy()
        values = block.numpy()[starts.numpy()].astype(np.int64)
        place = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
        is_unlisted = keys[place] != values
        if is_unlisted.any():
            unlisted.update(values[is_unlisted].tolist())
        number = number_of_key[place]
        areas += np.bincount(number, lengths, len(keys))  # float64, which holds them exactly
        panoptic_seg[first : first + BLOCK] = np.repeat(number, lengths)
    return torch.from_numpy(panoptic_seg), torch.from_numpy(areas.astype(np.int64)), unlisted

"""Numbers for the segment ids of a map: its pixels, and the areas of its segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pps_torch.formats.runs import run_lengths, run_starts
from pps_torch.graph_capture import is_on_host


def number_pixels(ids: Tensor, listed: list[int]) -> tuple[Tensor, Tensor, list[int]]:
    """Number pixels by the place of their ids in a list of ids.

    Args:
        ids: `(P,)`, any integer dtype.
        listed: `K` distinct ids, at least one.

    Returns:
        `(P,)` int32, `K` where an id is not listed; the areas `(K,)` int64 by number; and the ids
        that are not listed, rising.
    """
    if is_on_host(ids):
        return _number_runs(ids.numpy(), listed)
    sorted_keys, order = torch.tensor(listed, dtype=torch.int64, device=ids.device).sort()
    place = torch.searchsorted(sorted_keys, ids.long()).clamp_(max=len(listed) - 1)
    is_listed = sorted_keys[place] == ids
    number = torch.where(is_listed, order[place], len(listed))
    areas = number.new_zeros(len(listed) + 1).scatter_add_(0, number, torch.ones_like(number))
    return number.int(), areas[:-1], ids[~is_listed].unique().tolist()


def _number_runs(ids: npt.NDArray[Any], listed: list[int]) -> tuple[Tensor, Tensor, list[int]]:
    """The same run by run, in NumPy."""
    keys = np.array(listed, np.int64)
    order = keys.argsort()
    starts = run_starts([ids], len(ids))
    lengths, values = run_lengths(starts, len(ids)), ids[starts].astype(np.int64)
    number = order.take(keys.searchsorted(values, sorter=order), mode="clip")
    is_unlisted = keys[number] != values
    number[is_unlisted] = len(keys)
    areas = np.bincount(number, lengths, len(keys) + 1)  # float64, which holds them exactly
    return (
        torch.from_numpy(np.repeat(number.astype(np.int32), lengths)),
        torch.from_numpy(areas[:-1].astype(np.int64)),
        np.unique(values[is_unlisted]).tolist(),
    )

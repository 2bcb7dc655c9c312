"""Numbers for the segment ids of a map: its pixels, and the areas of its segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pps_torch.checks import check_int, check_integer
from pps_torch.formats.runs import run_lengths, run_starts
from pps_torch.graph_capture import is_on_host

Array = npt.NDArray[Any]

_INT64 = torch.iinfo(torch.int64)


def as_id_map(ids: Tensor | Array) -> Tensor:
    """The map of ids as a tensor; raise TypeError or ValueError unless it holds integers."""
    if isinstance(ids, np.ndarray):
        if ids.dtype.kind not in "iu":
            raise TypeError(f"ids: expected an integer dtype, found {ids.dtype}")
        if ids.dtype == np.uint64 and ids.size and int(ids.max()) > _INT64.max:
            raise ValueError(f"ids: expected ids below 2**63, found {ids.max()}")
        unsigned = ids.dtype.kind == "u" and ids.dtype.itemsize > 1
        dtype = np.dtype(np.int64) if unsigned else ids.dtype.newbyteorder("=")
        ids = torch.from_numpy(np.require(ids, dtype, ["C", "W"]))
    check_integer("ids", ids)
    return ids


def number_segments(
    ids: Tensor,
    segments_info: Sequence[Mapping[str, Any]],
    void_id: int,
    allow_misfits: bool = False,
) -> tuple[Tensor, list[int]]:
    """Renumber the listed ids to 1..S, in their order; those that are not listed are S + 1.

    Returns:
        The map in int32, and the areas of the segments in pixels.
    """
    if ids.ndim != 2:
        raise ValueError(f"ids: expected shape (H, W), found {tuple(ids.shape)}")
    check_int("void_id", void_id, _INT64.min)
    if void_id > _INT64.max:
        raise ValueError(f"void_id: expected an int of 64 bits, found {void_id}")
    listed = [info["id"] for info in segments_info]
    if len({void_id, *listed}) <= len(listed):
        doubled = sorted(segment_id for segment_id, count in Counter(listed).items() if count > 1)
        raise ValueError(
            f"segments_info: expected each id once and none equal to void ({void_id}), "
            f"found {doubled or void_id}"
        )
    panoptic_seg, areas, unlisted = number_pixels(ids.reshape(-1), [void_id, *listed])
    pixels = areas[1:].tolist()
    if not allow_misfits:
        check_fit(listed, pixels, unlisted)
    return panoptic_seg.view(ids.shape), pixels


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
        starts = run_starts([ids.numpy()], len(ids))
        lengths = run_lengths(starts, len(ids))
        number, areas, unlisted = number_runs(ids.numpy().take(starts), lengths, listed)
        pixels = np.repeat(number.astype(np.int32), lengths)
        return torch.from_numpy(pixels), torch.from_numpy(areas), unlisted
    sorted_keys, order = torch.tensor(listed, dtype=torch.int64, device=ids.device).sort()
    place = torch.searchsorted(sorted_keys, ids.long()).clamp_(max=len(listed) - 1)
    is_listed = sorted_keys[place] == ids
    number = torch.where(is_listed, order[place], len(listed))
    areas = number.new_zeros(len(listed) + 1).scatter_add_(0, number, torch.ones_like(number))
    return number.int(), areas[:-1], ids[~is_listed].unique().tolist()


def number_runs(
    values: Array, lengths: Array, listed: Sequence[int]
) -> tuple[Array, Array, list[int]]:
    """Number runs, in any order, by the place of their ids in a list of ids, in NumPy.

    Args:
        values: `(R,)` ids, any integer dtype.
        lengths: `(R,)` pixels.
        listed: `K` distinct ids, at least one.

    Returns:
        as `number_pixels`, `(R,)` int64 in place of the pixels.
    """
    keys, values = np.array(listed, np.int64), values.astype(np.int64)
    order = keys.argsort()
    number = order.take(keys.searchsorted(values, sorter=order), mode="clip")
    is_unlisted = keys.take(number) != values
    number[is_unlisted] = len(keys)
    areas = np.bincount(number, lengths, len(keys) + 1)  # float64, which holds them exactly
    unlisted = np.unique(values[is_unlisted]).tolist() if is_unlisted.any() else []
    return number, areas[:-1].astype(np.int64), unlisted


def check_fit(segment_ids: Sequence[int], areas: Sequence[int], unlisted: Sequence[int]) -> None:
    """Raise ValueError unless the map has the listed segments and no others.

    Args:
        segment_ids: those that are listed.
        areas: their pixels in the map.
        unlisted: the other ids of the map, without void.
    """
    if unlisted:
        raise ValueError(
            "segments_info: the map has segments that are not listed: "
            f"{[*unlisted[:10]]}{', ...' * (len(unlisted) > 10)}"
        )
    missing = [segment_id for segment_id, area in zip(segment_ids, areas) if not area]
    if missing:
        raise ValueError(f"segments_info: listed segments have no pixel in the map: {missing}")

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

from pps_torch.compiled import load_compiled
from pps_torch.formats.rgb_ids import rgb_ids

Array = npt.NDArray[Any]

compiled = load_compiled("runs")

#: Pixels that are looked at at a time: few calls, whose marks stay in the processor's cache.
_BLOCK = 1 << 19


def run_starts(flat_maps: Sequence[Array], num_pixels: int) -> Array:
    """Find the first pixels of the runs of pixels that are equal in all maps.

    Args:
        flat_maps: bool, or integers that int64 holds, `(B * P,)`; or colours `(B * P, 3)` uint8.
        num_pixels: `P`; a run never crosses from one image to the next.

    Returns:
        `(R,)` int64, rising.
    """
    if compiled is None:
        return run_starts_in_numpy(flat_maps, num_pixels)
    starts: Array = compiled.run_starts([*map(_plain, flat_maps)], num_pixels)
    return starts


def run_starts_in_numpy(flat_maps: Sequence[Array], num_pixels: int) -> Array:
    """The meaning of [`run_starts`][pps_torch.formats.runs.run_starts]."""
    channels = [channel for values in flat_maps for channel in np.atleast_2d(values.T)]
    size = len(channels[0])
    begins, differs = np.empty((2, min(_BLOCK, size)), bool)
    starts: list[Array] = [np.empty(0, np.int64)]
    for first in range(0, size, _BLOCK):
        last, second = min(first + _BLOCK, size), max(first, 1)
        found, differing = begins[second - first : last - first], differs[: last - second]
        found[:] = False
        for channel in channels:
            np.not_equal(channel[second:last], channel[second - 1 : last - 1], out=differing)
            np.logical_or(found, differing, out=found)
        begins[-first % num_pixels : last - first : num_pixels] = True
        (places,) = begins[: last - first].nonzero()
        starts.append(places + first)
    return np.concatenate(starts)


def run_lengths(starts: Array, num_pixels: int) -> Array:
    """Count the pixels of each run, `(R,)` int64, for all `num_pixels` of the maps."""
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = num_pixels - starts[-1:]
    return lengths


def runs_of(flat_maps: Sequence[Array], num_pixels: int) -> tuple[Array, tuple[Array, ...], Array]:
    """Take pixels that are equal in all maps as runs.

    Args:
        flat_maps, num_pixels: as for `run_starts`.

    Returns:
        the image `(R,)` int64, the values `(R,)` of the dtypes of the maps, colours as the ids
        `R + 256 G + 65536 B` int32, and the lengths `(R,)` int64, in pixels.
    """
    size, starts = len(flat_maps[0]), run_starts(flat_maps, num_pixels)
    image = starts // num_pixels if size > num_pixels else np.zeros_like(starts)
    return image, tuple(_values_at(starts, m) for m in flat_maps), run_lengths(starts, size)


def _values_at(places: Array, flat_map: Array) -> Array:
    return flat_map.take(places) if flat_map.ndim == 1 else rgb_ids(flat_map[places])


def distinct_pixels(
    flat_maps: Sequence[Array], num_pixels: int
) -> tuple[Array, tuple[Array, ...], Array]:
    """Count the pixels of each combination of values that maps have.

    Args:
        flat_maps, num_pixels: as for `run_starts`.

    Returns:
        the image, the values and the pixels `(D,)` as of `runs_of`, rising by image and values.

    Example:
        >>> ids, others = np.array([7, 5, 7, 7]), np.array([0, 2, 0, 1])
        >>> distinct_pixels((ids, others), 4)
        (array([0, 0, 0]), (array([5, 7, 7]), array([2, 0, 1])), array([1, 2, 1]))
    """
    found = _few_combinations(flat_maps, num_pixels)
    if found is not None:
        return found
    image, values, lengths = runs_of(flat_maps, num_pixels)
    (image, *distinct), pixels = distinct_runs((image, *values), lengths)
    return image, tuple(distinct), pixels


def grouped_pixels(
    flat_maps: Sequence[Array], num_pixels: int
) -> tuple[Array, tuple[Array, ...], Array]:
    """Count groups of pixels of the same values, in the least time.

    Returns:
        as `distinct_pixels`, where the compiled loop finds few combinations; else each run of
        pixels by itself, in their order, so that a combination may come several times.
    """
    return _few_combinations(flat_maps, num_pixels) or runs_of(flat_maps, num_pixels)


def _few_combinations(
    flat_maps: Sequence[Array], num_pixels: int
) -> tuple[Array, tuple[Array, ...], Array] | None:
    """What `distinct_pixels` gives; None where images have too many, or nothing is compiled."""
    if compiled is None:
        return None
    maps = [*map(_plain, flat_maps)]
    found = compiled.combinations(maps, num_pixels)
    if found is None:
        return None
    image, words, pixels = found
    values = [*map(_values_of_words, words.T, maps)]
    order = np.lexsort((*values[::-1], image))
    return image[order], tuple(column[order] for column in values), pixels[order]


def _plain(flat_map: Array) -> Array:
    """As C has arrays: each pixel behind the one before, at a multiple of its size."""
    return np.require(flat_map, requirements=["C", "A"])


def _values_of_words(words: Array, flat_map: Array) -> Array:
    """The values of a map whose bytes stand in words of 64 bits, the first one lowest."""
    if flat_map.ndim == 2:
        return words.astype(np.int32)
    return words.astype(f"u{flat_map.itemsize}").view(flat_map.dtype)


def distinct_runs(values: tuple[Array, ...], lengths: Array) -> tuple[tuple[Array, ...], Array]:
    """Take runs of the same values as one.

    Two maps have some ten thousand runs and a few hundred combinations of ids. The values and the
    length of a run are packed into a word of 64 bits where they fit, if need be in several words
    for a long run, as to sort words takes a fraction of the time of sorting places by words.

    Args:
        values: integers `(R,)`, of any dtypes.
        lengths: `(R,)` int64 of 0 or more; together below 2**63.

    Returns:
        the same of the distinct runs, `(D,)` each, rising.

    Example:
        >>> ids, others = np.array([7, 5, 7, 7]), np.array([0, 2, 0, 1])
        >>> distinct_runs((ids, others), np.array([3, 1, 4, 1]))
        ((array([5, 7, 7]), array([2, 0, 1])), array([1, 7, 1]))
    """
    if not len(lengths):
        return values, lengths
    lowest = [int(column.min()) for column in values]
    bits = [(int(column.max()) - low).bit_length() for column, low in zip(values, lowest)]
    longest = int(lengths.max())
    bits.append(min(longest.bit_length(), 64 - sum(bits)))
    most = (1 << max(bits[-1], 0)) - 1
    columns = *values, lengths
    if longest > most or bits[-1] < 0:
        if not most or (lengths // most).sum() > len(lengths):
            return _sorted_by_place(values, lengths)
        columns = _cut_long_runs(columns, most)
    packed = np.zeros(len(columns[0]), np.uint64)
    for column, low, width in zip(columns, [*lowest, 0], bits):
        offset = column.astype(np.int64)
        offset -= low
        packed <<= np.uint64(width)
        packed |= offset.view(np.uint64)
    packed.sort()
    keys = packed >> np.uint64(bits[-1])
    first = _first_places((keys,))
    sums = np.add.reduceat(packed & np.uint64((1 << bits[-1]) - 1), first).view(np.int64)
    keys, found = keys[first], []
    for column, low, width in reversed([*zip(values, lowest, bits)]):
        offset = (keys & np.uint64((1 << width) - 1)).view(np.int64)
        found.append((offset + low).astype(column.dtype))
        keys >>= np.uint64(width)
    return tuple(reversed(found)), sums


def _cut_long_runs(columns: tuple[Array, ...], most: int) -> tuple[Array, ...]:
    """Cut the runs whose length, in the last column, is above `most`, into several."""
    *values, lengths = columns
    pieces = np.arange(len(lengths)).repeat(lengths // most)
    values = (np.concatenate([column, column[pieces]]) for column in values)
    return *values, np.concatenate([lengths % most, np.full(len(pieces), most)])


def expand_runs(values: Tensor, lengths: Tensor) -> Tensor:
    """Repeat the values of runs `(*, R)` for each of their pixels, `(*, P)`, on the CPU."""
    return torch.from_numpy(np.repeat(values.numpy(), lengths.numpy(), axis=-1))


def _sorted_by_place(values: tuple[Array, ...], lengths: Array) -> tuple[tuple[Array, ...], Array]:
    """The same for values of any size."""
    order = np.lexsort(values[::-1])
    values = tuple(column[order] for column in values)
    first = _first_places(values)
    return tuple(column[first] for column in values), np.add.reduceat(lengths[order], first)


def _first_places(values: tuple[Array, ...]) -> Array:
    """The first place of each run of places with the same values."""
    is_first = np.zeros(len(values[0]), bool)
    is_first[0] = True
    for column in values:
        is_first[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(is_first)

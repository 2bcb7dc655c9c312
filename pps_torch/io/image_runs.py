"""Images of one size as runs of pixels that are equal in all of them, straight from their bytes.

Maps of ids have some ten or twenty runs in a row. What counts pixels counts runs as well, and there
are a twentieth as many; so no map of ids is made of the bytes that a decoder gives.
"""

from __future__ import annotations

import numpy as np

from pps_torch.formats.runs import distinct_runs

#: Pixels that are compared at once: they stay in the cache, and in memory that is used again.
_BLOCK = 1 << 17

#: Pixels are looked at in groups of so many, whose marks are whole words of 8 bytes.
_GROUP = 8


def image_runs(*images: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Collapse images into runs, which may go on from row to row.

    Args:
        images: `(H, W)` or `(H, W, 3)`, of any dtype; of one size.

    Returns:
        the values of each image, `(R,)` or `(R, 3)`, and the lengths `(R,)` int64, in pixels.

    Example:
        >>> ids, colors = np.array([[7, 7, 7, 8]]), np.zeros((1, 4, 3), np.uint8)
        >>> colors[0, 1:] = 5
        >>> (id_runs, color_runs), lengths = image_runs(ids, colors)
        >>> id_runs.tolist(), color_runs[:, 0].tolist(), lengths.tolist()
        ([7, 7, 8], [0, 5, 5], [1, 2, 1])
    """
    num_pixels = images[0].shape[0] * images[0].shape[1]
    flat = [image.reshape(num_pixels, *image.shape[2:]) for image in images]
    starts = _run_starts(flat, num_pixels)
    return tuple(image.take(starts, 0) for image in flat), np.diff(starts, append=num_pixels)


def distinct_ids(*images: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The ids that lie in the same pixels of panoptic PNGs, each combination once.

    Args:
        images: as stored, colours `(H, W, 3)` of uint8 or grey levels `(H, W)`; of one size.

    Returns:
        the ids of each image, `(D,)` int32, and their pixels, `(D,)` int64.
    """
    runs, lengths = image_runs(*images)
    ids = (rgb_ids(values) if values.ndim == 2 else values.astype(np.int32) for values in runs)
    return distinct_runs(tuple(ids), lengths)


def count_ids(ids: np.ndarray, lengths: np.ndarray | None = None) -> dict[int, int]:
    """Count the pixels of each id of a map.

    Args:
        ids: of a map of any shape, or of its runs `(R,)`.
        lengths: `(R,)` int64, the pixels of each run; None for a map.
    """
    if lengths is None:
        (ids,), lengths = image_runs(ids.reshape(1, -1))
    places = ids
    values = None
    if not len(ids) or ids.min() < 0 or ids.max() >= 1 << 16:
        values, places = np.unique(ids, return_inverse=True)
    counts = np.bincount(places, weights=lengths).astype(np.int64)  # exact up to 2**53
    found = np.flatnonzero(counts)
    return dict(zip((found if values is None else values[found]).tolist(), counts[found].tolist()))


def rgb_ids(colors: np.ndarray) -> np.ndarray:
    """The ids `R + 256 G + 65536 B` of colours `(*, 3)` of uint8, `(*)` int32."""
    ids = colors[..., 2].astype(np.int32)
    for channel in (1, 0):
        ids <<= 8
        ids |= colors[..., channel]
    return ids


def _run_starts(images: list[np.ndarray], num_pixels: int) -> np.ndarray:
    """The first pixel, and those, rising, that differ in any image from the pixel before.

    Args:
        images: `(P,)` or `(P, 3)` each.
        num_pixels: `P`.
    """
    ids, colors = ([image for image in images if image.ndim == ndim] for ndim in (1, 2))
    id_changes, level_changes = (
        [np.empty((_BLOCK, *levels), bool) for _ in range(2)] for levels in ((), (3,))
    )
    starts = [np.arange(min(num_pixels, 1))]  # no pixels, no run
    for first in range(1, num_pixels, _BLOCK):
        last = min(first + _BLOCK, num_pixels)
        changed_ids = _changes(ids, first, last, *id_changes)
        changed_levels = _changes(colors, first, last, *level_changes)
        starts.append(_marked_pixels(changed_ids, changed_levels) + first)
    return np.concatenate(starts)


def _changes(
    images: list[np.ndarray], first: int, last: int, changes: np.ndarray, buffer: np.ndarray
) -> np.ndarray:
    """Mark in `changes` what differs in any image from the pixel before, from `first` to `last`."""
    changes[:] = False
    differs = buffer[: last - first]
    for image in images:
        np.not_equal(image[first:last], image[first - 1 : last - 1], out=differs)
        changes[: last - first] |= differs
    return changes


def _marked_pixels(ids: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The pixels of a block that are marked, in `(P,)` or in any level of `(P, 3)`.

    Most groups of pixels have no marks, and only the others are looked at pixel by pixel.
    """
    words = levels.reshape(-1).view(np.uint64)
    marks = ids.view(np.uint64) | words[0::3] | words[1::3] | words[2::3]
    groups = np.flatnonzero(marks != 0)
    ids = ids.reshape(-1, _GROUP).take(groups, 0).reshape(-1)
    levels = levels.reshape(-1, 3 * _GROUP).take(groups, 0).reshape(-1, 3)
    places = np.flatnonzero(ids | levels[:, 0] | levels[:, 1] | levels[:, 2])
    return groups[places // _GROUP] * _GROUP + places % _GROUP

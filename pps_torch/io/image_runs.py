"""Images of one size as runs of pixels that are equal in all of them, straight from their bytes.

Maps of ids have some ten or twenty runs in a row. What counts pixels counts runs as well, and there
are a twentieth as many; so no map of ids is made of the bytes that a decoder gives.
"""

from __future__ import annotations

import numpy as np

from pps_torch.formats.runs import distinct_runs, run_lengths

#: Pixels that are compared at once: few calls, in the cache, and in memory that is used again.
_BLOCK = 1 << 17


def image_runs(*images: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Collapse images into runs, which may go on from row to row.

    Args:
        images: `(H, W)` of any dtype, or colours `(H, W, 3)` of uint8; of one size.

    Returns:
        the values of each image, `(R,)` of its dtype, those of colours int32 as of `rgb_ids`, and
        the lengths `(R,)` int64, in pixels.

    Example:
        >>> ids, colors = np.array([[7, 7, 7, 8]]), np.zeros((1, 4, 3), np.uint8)
        >>> colors[0, 1:] = 5, 0, 1
        >>> (id_runs, color_runs), lengths = image_runs(ids, colors)
        >>> id_runs.tolist(), color_runs.tolist(), lengths.tolist()
        ([7, 7, 8], [0, 65541, 65541], [1, 2, 1])
    """
    num_pixels = images[0].shape[0] * images[0].shape[1]
    if not num_pixels:
        return tuple(_numbers(image).reshape(-1) for image in images), np.empty(0, np.int64)
    scans = [_Scan(image) for image in images]
    starts: list[np.ndarray] = [np.zeros(1, np.int64)]
    changes, differs = np.empty((2, _BLOCK), bool)
    for first in range(1, num_pixels, _BLOCK):
        last = min(first + _BLOCK, num_pixels)
        changed, differing = changes[: last - first], differs[: last - first]
        for number, scan in enumerate(scans):
            scan.mark_changes(first, last, differing if number else changed)
            if number:
                np.logical_or(changed, differing, out=changed)
        places = np.flatnonzero(changed)
        for scan in scans:
            scan.keep(places)
        starts.append(places + first)
    lengths = run_lengths(np.concatenate(starts), num_pixels)
    return tuple(scan.values() for scan in scans), lengths


def distinct_ids(*images: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The ids that lie in the same pixels of panoptic PNGs, each combination once.

    Args:
        images: as stored, colours `(H, W, 3)` of uint8 or grey levels `(H, W)`; of one size.

    Returns:
        the ids of each image, `(D,)` int32, and their pixels, `(D,)` int64.
    """
    ids, lengths = image_runs(*images)
    return distinct_runs(tuple(values.astype(np.int32, copy=False) for values in ids), lengths)


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


def id_colors(ids: np.ndarray) -> np.ndarray:
    """Unpack COCO's segment ids of any shape, below 2**24, to colours `(..., 3)` uint8."""
    return ids.astype("<i4", order="C", copy=False)[..., None].view(np.uint8)[..., :3]


def _numbers(image: np.ndarray) -> np.ndarray:
    """`(H, W)` as it is, the ids of colours `(H, W, 3)`."""
    return rgb_ids(image) if image.ndim == 3 else image


class _Scan:
    """The pixels of an image as numbers, block by block, and those that runs begin with.

    NumPy takes no step of three bytes at once, so four are read for a pixel of colours: the blue of
    the pixel before, in the lowest eight bits, and the pixel's own red, green and blue.
    """

    def __init__(self, image: np.ndarray) -> None:
        self._is_colors = image.ndim == 3
        flat = np.ascontiguousarray(image).reshape(-1, *image.shape[2:])
        first, self._others = _numbers(image[:1, :1]).reshape(-1), flat[1:]
        if self._is_colors:
            first = first.view(np.uint32)
            self._others = np.ndarray((len(flat) - 1,), "<u4", flat, 2, (3,))
        self._found = [first]
        self._block = np.empty(min(_BLOCK, len(flat)) + 1, first.dtype)
        self._block[:1] = first
        self._numbers = self._block[1:]

    def mark_changes(self, first: int, last: int, changes: np.ndarray) -> None:
        """Mark the pixels from `first` to `last` that differ from the pixel before."""
        self._numbers = self._block[1 : last - first + 1]
        self._numbers[:] = self._others[first - 1 : last - 1]
        if self._is_colors:
            self._numbers >>= 8
        np.not_equal(self._numbers, self._block[: last - first], out=changes)

    def keep(self, places: np.ndarray) -> None:
        """Keep the numbers at places of the block, and the last one for the next block."""
        self._found.append(self._numbers.take(places))
        self._block[0] = self._numbers[-1]

    def values(self) -> np.ndarray:
        """The numbers that are kept."""
        values = np.concatenate(self._found)
        return values.view(np.int32) if self._is_colors else values

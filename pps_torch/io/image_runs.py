"""Images of one size as runs of pixels that are equal in all of them, straight from their bytes.

Maps of ids have some ten or twenty runs in a row. What counts pixels counts runs as well, and there
are a twentieth as many; so no map of ids is made of the bytes that a decoder gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pps_torch.formats.runs import distinct_pixels, runs_of


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
    flat = _flat(images)
    _, values, lengths = runs_of(flat, len(flat[0]))
    return values, lengths


def distinct_ids(*images: np.ndarray) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The ids that lie in the same pixels of images, each combination once.

    Args:
        images: as for `image_runs`.

    Returns:
        the ids of each image, `(D,)` int32, and their pixels, `(D,)` int64.
    """
    flat = _flat(images)
    _, ids, pixels = distinct_pixels(flat, len(flat[0]))
    return tuple(values.astype(np.int32, copy=False) for values in ids), pixels


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


def _flat(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Images as rows of pixels, `(P,)` or `(P, 3)`."""
    return [image.reshape(-1, *image.shape[2:]) for image in images]

"""Images of one size as runs of pixels that are equal in all of them, straight from their bytes.

Maps of ids have some ten or twenty runs in a row. What counts pixels counts runs as well, and there
are a twentieth as many; so no map of ids is made of the bytes that a decoder gives.
"""

from __future__ import annotations

import numpy as np

#: Levels that are compared at once: they stay in the cache, and take no fresh memory.
_BLOCK = 1 << 17


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
    maps = [image.reshape(-1) for image in images if image.ndim == 2]
    colors = [image.reshape(-1) for image in images if image.ndim == 3]
    num_pixels = images[0].shape[0] * images[0].shape[1]
    first = np.arange(min(num_pixels, 1))  # no pixels, no run
    starts = np.concatenate([first, _changes(maps, 1), _changes(colors, 3)])
    if maps and colors:
        starts = np.unique(starts)
    values = tuple(image.reshape(num_pixels, *image.shape[2:]).take(starts, 0) for image in images)
    return values, np.diff(starts, append=num_pixels)


def rgb_ids(colors: np.ndarray) -> np.ndarray:
    """The ids `R + 256 G + 65536 B` of colours `(*, 3)` of uint8, `(*)` int32."""
    ids = colors[..., 2].astype(np.int32)
    for channel in (1, 0):
        ids <<= 8
        ids |= colors[..., channel]
    return ids


def _changes(images: list[np.ndarray], num_levels: int) -> np.ndarray:
    """The pixels, rising, in which any image differs from the pixel before.

    Args:
        images: `(P * num_levels,)`, the levels of a pixel beside each other.
        num_levels: of each pixel.
    """
    pixels: list[np.ndarray] = [np.empty(0, np.intp)]
    size = images[0].size - num_levels if images else 0
    buffers = np.empty((2, _BLOCK), bool)
    for begin in range(0, size, _BLOCK):
        is_change, differs = buffers[:, : min(_BLOCK, size - begin)]
        is_change[:] = False
        for levels in images:
            block = levels[begin : begin + _BLOCK + num_levels]
            np.not_equal(block[num_levels:], block[:-num_levels], out=differs)
            is_change |= differs
        pixels.append((np.flatnonzero(is_change) + begin) // num_levels)
    found = np.concatenate(pixels)
    is_first = np.ones(len(found), bool)
    np.not_equal(found[1:], found[:-1], out=is_first[1:])
    return found[is_first] + 1

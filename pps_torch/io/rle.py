"""Masks as runs of pixels: of COCO's compressed RLE, uncompressed RLE and polygons, and of maps."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

from pps_torch.io.image_runs import image_runs
from pps_torch.io.json_files import as_int, describe


def decode_runs(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Decode the `segmentation` of a COCO annotation.

    Args:
        segmentation: `{"size": [h, w], "counts": text or list}`, or a list of polygons
            `[x1, y1, x2, y2, ...]`.
        size: the (height, width) that the mask must have.

    Returns:
        (K, 2) int64, the first pixel of each run inside of the mask, and the one behind its last;
        pixels are numbered column by column.

    Raises:
        ValueError: says what was expected and what was found.
    """
    check_segmentation(segmentation, size)
    if isinstance(segmentation, list):
        lengths = _parse_counts(_rasterize(segmentation, size))
    elif isinstance(segmentation["counts"], list):
        lengths = np.array(segmentation["counts"], np.int64)
    else:
        lengths = _parse_counts(segmentation["counts"].encode())
    # pycocotools' decoder returns uninitialised memory where the runs do not reach the end.
    found = lengths.sum(dtype=np.float64)  # where a sum of 64 bits could wrap around
    if found != size[0] * size[1]:
        raise ValueError(f"counts: expected {size[0] * size[1]} pixels in all, found {found:.0f}")
    borders = lengths.cumsum()  # of runs that are alternately outside and inside
    return borders[: len(borders) // 2 * 2].reshape(-1, 2)


def runs_of_mask(mask: np.ndarray) -> np.ndarray:
    """The runs of a mask (H, W), bool, as `decode_runs` has them; pixels are numbered by rows."""
    (is_inside,), lengths = image_runs(mask)
    ends = lengths.cumsum()
    return np.stack([ends - lengths, ends], 1)[is_inside]


def paint_runs(mask: np.ndarray, runs: np.ndarray) -> None:
    """Set the pixels inside of runs (K, 2), in a mask that is all False and lies as they go."""
    pixels = mask.reshape(-1)
    for start, end in runs.tolist():
        pixels[start:end] = True


def check_segmentation(segmentation: Any, size: tuple[int, int]) -> None:
    """Check what can be checked of a segmentation without decoding it.

    Arguments and errors are those of [`decode_runs`][pps_torch.io.rle.decode_runs].
    """
    if isinstance(segmentation, list):
        _check_polygons(segmentation, size)
        return
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError(
            f"expected an RLE (an object with size and counts) or polygons, "
            f"found {describe(segmentation)}"
        )
    if segmentation["size"] != list(size):  # 300 and 300.0 are equal
        raise ValueError(
            f"size: expected [height, width] {list(size)}, found {describe(segmentation['size'])}"
        )
    counts = segmentation["counts"]
    if isinstance(counts, list):
        most = size[0] * size[1]
        numbers = [as_int(count) for count in counts]
        if not all(number is not None and 0 <= number <= most for number in numbers):
            raise ValueError("counts: expected numbers of pixels, found other values among them")
    elif not isinstance(counts, str):
        raise ValueError(f"counts: expected a text or a list, found {describe(counts)}")


def _check_polygons(polygons: list, size: tuple[int, int]) -> None:
    if not polygons:
        raise ValueError("expected at least one polygon, found none")
    reach = 10 * max(size)
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(
                f"expected polygons [x1, y1, x2, y2, x3, y3, ...], found {describe(polygon)}"
            )
        for value in polygon:
            # Rasterizing takes time and memory with the extent; NaN is no point either.
            if type(value) not in (int, float) or not abs(value) <= reach:
                found = reprlib.repr(value)
                raise ValueError(f"expected polygon points near the image, found {found}")
    _check_length(polygons, size)


def _check_length(polygons: list, size: tuple[int, int]) -> None:
    """Refuse polygons with very long sides: rasterizing holds every pixel along them."""
    longest = 10 * size[0] * size[1] + 100 * max(size)
    length = 0.0
    for polygon in polygons:
        points = np.array(polygon, np.float64).reshape(-1, 2)
        sides = np.abs(points - np.roll(points, 1, axis=0)).max(1)
        length += float(sides.sum()) + len(sides)
    if length > longest:
        raise ValueError(f"expected sides of at most {longest} pixels in all, found {length:.0f}")


def _rasterize(polygons: list, size: tuple[int, int]) -> bytes:
    """Draw the union of polygons as COCO does; return the counts of a compressed RLE."""
    from pycocotools import mask

    return mask.merge(mask.frPyObjects(polygons, *size))["counts"]


def _parse_counts(counts: bytes) -> np.ndarray:
    """Read the lengths of the runs in a compressed RLE.

    Each character holds five bits of a number, lowest first, and one that says whether more
    follow; the highest bit of the last five is the sign. From the fourth number on, each is the
    difference to the last but one.
    """
    bits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if len(bits) == 0 or bits.min() < 0 or bits.max() > 63 or bits[-1] & 32:
        found = describe(counts.decode(errors="replace"))
        raise ValueError(f"counts: expected a compressed RLE, found {found}")
    ends = np.flatnonzero(bits & 32 == 0) + 1
    starts = np.concatenate([[0], ends[:-1]])
    digits = ends - starts
    if digits.max() > 7:
        raise ValueError("counts: expected a compressed RLE, found a number beyond 32 bits")
    place = np.arange(len(bits)) - np.repeat(starts, digits)
    lengths = np.add.reduceat((bits & 31) << 5 * place, starts)
    lengths -= (bits[ends - 1] >> 4 & 1) << 5 * digits
    lengths[1::2] = lengths[1::2].cumsum()
    lengths[2::2] = lengths[2::2].cumsum()
    if lengths.min() < 0:
        raise ValueError("counts: expected a compressed RLE, found a negative run length")
    return lengths

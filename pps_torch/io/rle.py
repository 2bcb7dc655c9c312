"""COCO segmentations: compressed RLE, uncompressed RLE and polygons become masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from pps_torch.io.json_files import describe


def decode_segmentation(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Decodes the ``segmentation`` of a COCO annotation.

    Args:
        segmentation: ``{"size": [h, w], "counts": text or list}``, or a list of polygons
            ``[x1, y1, x2, y2, ...]``.
        size: the (height, width) that the mask must have.

    Returns:
        (W, H) bool: columns first, as RLE stores masks.

    Raises:
        ValueError: says what was expected and what was found.
    """
    check_segmentation(segmentation, size)
    height, width = size
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, height, width)
    else:
        rle = segmentation
        _check_sum(_run_lengths(rle["counts"]), size)
    mask = coco_mask.decode(rle)
    return mask.T.view(bool)


def check_segmentation(segmentation: Any, size: tuple[int, int]) -> None:
    """Checks everything about a segmentation that needs no decoding; see there."""
    if isinstance(segmentation, list):
        _check_polygons(segmentation, size)
        return
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError(
            f"expected an RLE (an object with size and counts) or polygons, "
            f"found {describe(segmentation)}"
        )
    if segmentation["size"] != list(size):
        raise ValueError(
            f"size: expected [height, width] {list(size)}, found {describe(segmentation['size'])}"
        )
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("counts: expected pixel counts, found other values among them")
        _check_sum(counts, size)
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
            if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > reach:
                raise ValueError(f"expected polygon points near the image, found {value!r}")


def _check_sum(counts: Sequence[int] | np.ndarray, size: tuple[int, int]) -> None:
    total = int(sum(counts) if isinstance(counts, list) else counts.sum())
    if total != size[0] * size[1]:
        raise ValueError(f"counts: expected {size[0] * size[1]} pixels in all, found {total}")


def _run_lengths(counts: str) -> np.ndarray:
    """The lengths of the runs in a compressed RLE; pycocotools does not check their sum.

    Six bits a character: five of a number, lowest first, and whether more follow; the last one's
    highest bit is the sign. From the fourth number on, each is a difference to the last but one.
    """
    bits = np.frombuffer(counts.encode("utf-8"), np.uint8).astype(np.int64) - 48
    if len(bits) == 0 or bits.min() < 0 or bits.max() > 63 or bits[-1] & 32:
        raise ValueError(f"counts: expected a compressed RLE, found {describe(counts)}")
    ends = np.flatnonzero(bits & 32 == 0) + 1
    starts = np.concatenate([[0], ends[:-1]])
    digits = ends - starts
    if digits.max() > 7:
        raise ValueError("counts: expected a compressed RLE, found a number beyond 32 bits")
    place = np.arange(len(bits)) - np.repeat(starts, digits)
    values = np.add.reduceat((bits & 31) << 5 * place, starts)
    values -= (bits[ends - 1] >> 4 & 1) << 5 * digits
    values[1::2] = values[1::2].cumsum()
    values[2::2] = values[2::2].cumsum()
    if values.min() < 0:
        raise ValueError("counts: expected a compressed RLE, found a negative run length")
    return values

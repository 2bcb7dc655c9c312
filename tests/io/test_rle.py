"""COCO segmentations: each form gives pycocotools' mask, each fault an error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from pps_torch.io.rle import decode_runs, paint_runs, runs_of_mask


def decode(segmentation, size):
    mask = np.zeros(size[::-1], bool)
    paint_runs(mask, decode_runs(segmentation, size))
    return mask.T


def encode(mask):
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def uncompressed(mask):
    """The counts of a mask (H, W) as COCO lists them."""
    pixels = mask.T.reshape(-1)
    borders = np.flatnonzero(np.diff(pixels, prepend=False))
    return np.diff(borders, prepend=0, append=pixels.size).tolist()


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 0.02, 0.5, 0.95, 1]), st.integers(0)
)
def test_compressed_and_uncompressed(height, width, density, seed):
    mask = np.random.default_rng(seed).random((height, width)) < density
    rle = encode(mask)
    assert np.array_equal(decode(rle, mask.shape), mask)
    counts = uncompressed(mask)
    assert np.array_equal(decode({**rle, "counts": counts}, mask.shape), mask)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([0, 0.5, 1]), st.integers(0))
def test_runs_of_a_mask(height, width, density, seed):
    mask = np.random.default_rng(seed).random((height, width)) < density
    down = runs_of_mask(np.ascontiguousarray(mask.T))
    assert np.array_equal(down, decode_runs(encode(mask), mask.shape))


def test_large_runs():
    mask = np.zeros((1024, 2048), bool)
    mask[3:900, 5:2000] = True
    assert np.array_equal(decode(encode(mask), mask.shape), mask)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.lists(st.floats(-5, 50), min_size=6, max_size=12), min_size=1, max_size=3))
def test_polygons(polygons):
    polygons = [polygon[: len(polygon) // 2 * 2] for polygon in polygons]
    merged = coco_mask.merge(coco_mask.frPyObjects(polygons, 30, 40))
    assert np.array_equal(decode(polygons, (30, 40)), coco_mask.decode(merged))


GOOD = encode(np.eye(10, dtype=bool))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, "expected an RLE .* found null"),
        ({"counts": "x"}, "expected an RLE"),
        ({"size": [10, 11], "counts": GOOD["counts"]}, r"size: expected .* \[10, 10\], found"),
        ({"size": [10, 10], "counts": GOOD["counts"][:-1]}, "expected 100 pixels in all, found"),
        ({"size": [10, 10], "counts": GOOD["counts"] + "9"}, "expected 100 pixels in all, found"),
        ({"size": [10, 10], "counts": ""}, "expected a compressed RLE"),
        ({"size": [10, 10], "counts": "é"}, "expected a compressed RLE"),
        ({"size": [10, 10], "counts": "!"}, "expected a compressed RLE"),
        ({"size": [10, 10], "counts": "oo"}, "expected a compressed RLE"),
        ({"size": [10, 10], "counts": "ooooooooo0"}, "beyond 32 bits"),
        ({"size": [10, 10], "counts": "L"}, "negative run length"),
        ({"size": [10, 10], "counts": 5}, "counts: expected a text or a list, found 5"),
        ({"size": [10, 10], "counts": [50, -1, 51]}, "expected numbers of pixels"),
        ({"size": [10, 10], "counts": [50.5, 49.5]}, "expected numbers of pixels"),
        ({"size": [10, 10], "counts": [50, 51]}, "expected 100 pixels in all, found 101"),
        ([], "at least one polygon"),
        ([[1, 1, 5, 5]], "expected polygons"),
        ([[1, 1, 5, 5, 9, 9, 3]], "expected polygons"),
        ([[1, 1, 5, 5, 9, float("nan")]], "found nan"),
        ([[1, 1, 5, 5, 9, 1e9]], "found 1000000000.0"),
        ([[1, 1, 5, 5, 9, 10**400]], "expected polygon points near the image, found 10000"),
        ([["1"] * 6], "found '1'"),
    ],
)
def test_bad_segmentation(segmentation, message):
    with pytest.raises(ValueError, match=message):
        decode_runs(segmentation, (10, 10))


def test_runs_whose_sum_wraps_around_are_refused():
    """Up by 2**33 2**16 times and down again: 2**64 + 100 pixels in all, 100 in 64 bits."""
    up, down = (compressed(step) * 2**16 for step in (2**33, -(2**33)))
    counts = compressed(0) + up + down + compressed(100)
    with pytest.raises(ValueError, match="expected 100 pixels in all, found 18446744073709551"):
        decode_runs({"size": [10, 10], "counts": counts}, (10, 10))


def compressed(number):
    """COCO's characters of a number, by its rule."""
    characters = ""
    while True:
        bits, number = number & 31, number >> 5
        is_last = number == -(bits >> 4)
        characters += chr(48 + bits + 32 * (not is_last))
        if is_last:
            return characters

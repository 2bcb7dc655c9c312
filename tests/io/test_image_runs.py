"""Runs of images of several kinds, put together again."""

from __future__ import annotations

import numpy as np
import pytest

from pps_torch.formats.rgb_ids import id_colors, rgb_ids
from pps_torch.io.image_runs import count_ids, distinct_ids, image_runs


def test_runs_hold_the_images():
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 9), (6, 1), (3, 3), (7, 11)):
        ids = rng.integers(0, 2, (height, width)).astype(np.int32) * 100_000
        levels = rng.integers(0, 2, (height, width)).astype(np.uint8)
        colors, others = rng.integers(254, 256, (2, height, width, 3)).astype(np.uint8)
        spread = np.zeros((height, width, 4), np.uint8)
        spread[..., :3] = colors
        pairs = (spread[..., :3], ids), (ids, levels), (colors, others)
        for images in ((ids,), (colors,), *pairs, (ids, colors, levels)):
            values, lengths = image_runs(*images)
            assert lengths.dtype == np.int64 and lengths.min() > 0
            for image, runs in zip(images, values):
                ids = rgb_ids(image) if image.ndim == 3 else image
                assert runs.dtype == ids.dtype
                assert np.array_equal(np.repeat(runs, lengths).reshape(ids.shape), ids)
            pixels = [image.reshape(height * width, -1) for image in images]
            before = [p[1:] != p[:-1] for p in pixels]
            assert len(lengths) == 1 + np.concatenate(before, 1).any(1).sum()


def test_ids_of_colors():
    colors = np.array([[1, 2, 3], [255, 255, 255]], np.uint8)
    ids = rgb_ids(colors)
    assert ids.tolist() == [197121, 2**24 - 1]
    assert np.array_equal(id_colors(ids), colors) and id_colors(ids[None].T).shape == (2, 1, 3)


def test_ids_that_share_pixels_are_listed_once():
    grey = np.array([[5, 5, 0], [5, 0, 0]], np.uint8)
    colors = np.zeros((2, 3, 3), np.uint8)
    colors[0, 0] = colors[1, 0] = 1, 2, 3
    (levels, ids), pixels = distinct_ids(grey, colors)
    assert levels.dtype == ids.dtype == np.int32 and pixels.dtype == np.int64
    assert levels.tolist() == [0, 5, 5]
    assert ids.tolist() == [0, 0, 197121] and pixels.tolist() == [3, 1, 2]


def test_an_image_without_pixels_has_no_runs():
    (ids, colors), lengths = image_runs(np.zeros((0, 3), np.int32), np.zeros((0, 3, 3), np.uint8))
    assert ids.shape == (0,) and colors.shape == (0,) and lengths.shape == (0,)
    assert count_ids(np.zeros((2, 0), np.uint8)) == {}


@pytest.mark.parametrize("factor", [1, 250, -3, 10**6])
def test_count_ids(factor):
    ids = np.array([[0, 1, 2], [200, 254, 255]], np.uint8)
    ids = ids if factor == 1 else ids.astype(np.int32) * factor
    values, counts = np.unique(ids, return_counts=True)
    assert count_ids(ids) == dict(zip(values.tolist(), counts.tolist()))

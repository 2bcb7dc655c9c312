"""Runs of images of several kinds, put together again."""

from __future__ import annotations

import numpy as np
import pytest

from pps_torch.io import image_runs as module
from pps_torch.io.image_runs import image_runs, rgb_ids
from pps_torch.io.images import count_ids


@pytest.mark.parametrize("block", [1, 7, 1 << 17])
def test_runs_hold_the_images(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 9), (6, 1), (7, 11)):
        ids = rng.integers(0, 2, (height, width)).astype(np.int32) * 100_000
        levels = rng.integers(0, 2, (height, width)).astype(np.uint8)
        colors, others = rng.integers(0, 2, (2, height, width, 3)).astype(np.uint8)
        for images in ((ids,), (colors,), (ids, levels), (colors, others), (ids, colors, levels)):
            values, lengths = image_runs(*images)
            assert lengths.dtype == np.int64 and lengths.min() > 0
            for image, runs in zip(images, values):
                assert np.array_equal(np.repeat(runs, lengths, 0).reshape(image.shape), image)
            pixels = [image.reshape(height * width, -1) for image in images]
            before = [p[1:] != p[:-1] for p in pixels]
            assert len(lengths) == 1 + np.concatenate(before, 1).any(1).sum()


def test_ids_of_colors():
    assert rgb_ids(np.array([[1, 2, 3], [255, 255, 255]], np.uint8)).tolist() == [197121, 2**24 - 1]


def test_an_image_without_pixels_has_no_runs():
    (ids, colors), lengths = image_runs(np.zeros((0, 3), np.int32), np.zeros((0, 3, 3), np.uint8))
    assert ids.shape == (0,) and colors.shape == (0, 3) and lengths.shape == (0,)
    assert count_ids(np.zeros((2, 0), np.uint8)) == {}

"""Runs of equal pixels stand for all pixels of a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.counting.pixel_runs import pixel_runs
from tests.factories import draw


@pytest.mark.parametrize(
    "num_images, num_pixels", [(1, 1), (3, 40), (2, 1), (4, 7), (0, 5), (2, 0)]
)
def test_runs_expand_to_the_maps(num_images, num_pixels, device):
    rng = np.random.default_rng(num_pixels)
    maps = [
        torch.from_numpy(rng.integers(0, 3, (num_images, num_pixels))).to(device, dtype)
        for dtype in (torch.int64, torch.uint8)
    ]
    runs = pixel_runs(*maps)
    for values, original in zip(runs.maps, maps, strict=True):
        assert values.dtype == original.dtype
        assert torch.equal(runs.expand(values), original.reshape(-1))
    images = torch.arange(num_images, device=device).repeat_interleave(num_pixels)
    assert torch.equal(runs.expand(runs.image), images)
    assert runs.lengths.sum().item() == num_images * num_pixels


def test_a_run_ends_where_any_map_changes_and_where_an_image_ends():
    runs = pixel_runs(
        torch.tensor([[1, 1, 1, 2], [2, 2, 2, 2]]), torch.tensor([[5, 5, 6, 6], [6] * 4])
    )
    assert runs.lengths.tolist() == [2, 1, 1, 4]
    assert runs.image.tolist() == [0, 0, 0, 1]
    assert [values.tolist() for values in runs.maps] == [[1, 1, 2, 2], [5, 6, 6, 6]]


def test_label_maps_have_few_runs():
    labels = draw(np.random.default_rng(0), np.zeros((60, 80), np.int64), range(9), 8)
    assert len(pixel_runs(torch.from_numpy(labels).reshape(1, -1)).lengths) < 60 * 80 / 4

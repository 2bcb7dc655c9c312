"""Joint counts against a loop over the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.counting.pair_counts import pair_counts
from pps_torch.ops.counting.pixel_runs import pixel_runs


@pytest.mark.parametrize("num_images, num_pixels", [(1, 1), (3, 50), (0, 4), (2, 0)])
def test_as_a_loop(num_images, num_pixels, device):
    rng = np.random.default_rng(num_pixels)
    rows, columns = rng.integers(0, 4, (2, num_images, num_pixels))
    expected = np.zeros((num_images, 4, 6), np.int64)
    for image in range(num_images):
        for row, column in zip(rows[image], columns[image]):
            expected[image, row, column] += 1
    runs = pixel_runs(torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device))
    found = pair_counts(runs, *runs.maps, 4, 6, num_images)
    assert found.dtype == torch.int64 and np.array_equal(found.cpu().numpy(), expected)

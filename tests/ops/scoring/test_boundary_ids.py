"""Boundaries of segments: as erosion of each mask, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.scoring.boundary_ids import INTERIOR, boundary_ids
from tests.factories import SIZES
from tests.metrics.cells import cells
from tests.oracles.boundary_quality import boundary


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_as_erosion_of_each_mask(dtype, device):
    rng = np.random.default_rng(0)
    for size in (*SIZES, (31, 47)):
        ids = np.stack([cells(*size, 5, s) for s in rng.integers(0, 3, 2)])
        ids[rng.random(ids.shape) < 0.02] = 0
        for distance in (1, 2, 4, 9):
            found = boundary_ids(torch.from_numpy(ids).to(device, dtype), distance).cpu().numpy()
            for image, result in zip(ids, found):
                for number in range(6):
                    edge = image == 0 if number == 0 else boundary(image == number, distance)
                    assert np.array_equal(result == number, edge)
                assert np.isin(result, [INTERIOR, *range(6)]).all()


def test_a_distance_below_one_is_refused():
    with pytest.raises(ValueError, match="^distance: expected at least 1 pixel, found 0"):
        boundary_ids(torch.zeros(1, 2, 2, dtype=torch.long), 0)

"""Classes of segment rows, and what has none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.scoring.segment_classes import count_unclassed, segment_classes
from tests.factories import INTEGER_DTYPES
from tests.ops.twins import expect_twins


def test_by_hand():
    rows = torch.tensor([[7, -1, 9, 3], [3, 3, -5, 7]])
    classes = expect_twins(segment_classes, rows, torch.tensor([3, 200, 7]))
    assert classes.tolist() == [[-1, 2, -3, -2, 0, -3], [-1, 0, 0, -3, 2, -3]]
    areas = torch.tensor([[9, 9, 1, 9, 9, 2], [9, 9, 9, 4, 9, 0]])
    assert expect_twins(count_unclassed, classes, areas).tolist() == [7, 1]


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
@pytest.mark.parametrize("num_images, num_rows", [(0, 3), (2, 0), (3, 131)])
def test_twins_at_awkward_sizes(num_images, num_rows, dtype):
    rng = np.random.default_rng(num_rows)
    low = 0 if dtype == torch.uint8 else -2
    rows = torch.from_numpy(rng.integers(low, 90, (num_images, num_rows))).to(dtype)
    for num_classes in (0, 60):
        ids = torch.from_numpy(rng.permutation(200)[:num_classes])
        classes = expect_twins(segment_classes, rows, ids)
        assert classes.shape == (num_images, num_rows + 2)
        expect_twins(count_unclassed, classes, torch.arange(classes.numel()).view_as(classes))

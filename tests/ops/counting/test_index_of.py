"""Position of ids in a list."""

from __future__ import annotations

import pytest
import torch

from pps_torch.ops.counting.index_of import index_of
from tests.factories import INTEGER_DTYPES


@pytest.mark.parametrize(
    "ids, expected",
    [
        ([23, 7, 11], [[1, 0], [-1, 2]]),
        ([7], [[0, -1], [-1, -1]]),
        ([], [[-1, -1], [-1, -1]]),
        ([255, 8], [[-1, -1], [0, -1]]),
    ],
)
@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_by_hand(ids, expected, dtype, device):
    values = torch.tensor([[7, 23], [255, 11]], dtype=dtype, device=device)
    found = index_of(values, torch.tensor(ids, dtype=torch.int64, device=device))
    assert found.dtype == torch.int64 and found.tolist() == expected


def test_negative_values_and_no_values():
    assert index_of(torch.tensor([-1, 3]), torch.tensor([3, -1])).tolist() == [1, 0]
    assert index_of(torch.zeros(0, 2).long(), torch.tensor([3])).shape == (0, 2)

"""The look-up of PPS channels: both versions, with ids that no table has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.pps_channels import pps_channels
from tests.factories import INTEGER_DTYPES
from tests.triton_support import needs_triton

pytestmark = needs_triton


def expect_twins(segment, part, category_ids, pids, device):
    inputs = [value.to(device) for value in (segment, part, category_ids, pids)]
    expected = pps_channels(*inputs, ignore_label=255, backend="torch")
    found = pps_channels(*inputs, ignore_label=255, backend="triton")
    assert found.dtype == expected.dtype == torch.int32 and torch.equal(found, expected)
    return found


@pytest.mark.parametrize("num_segments", [0, 1, 33, 70])
@pytest.mark.parametrize("num_images, size", [(0, (2, 3)), (1, (1, 1)), (3, (37, 31)), (2, (0, 4))])
def test_twins_at_awkward_sizes(num_images, size, num_segments, device):
    rng = np.random.default_rng(num_segments)
    segment = torch.from_numpy(rng.integers(-1, num_segments + 3, (num_images, *size)))
    part = torch.from_numpy(rng.integers(-1, 9, (num_images, *size)))
    categories = torch.from_numpy(rng.choice([-1, 0, 3, 4, 5, 255], (num_images, num_segments)))
    pids = torch.from_numpy(rng.integers(0, 256, (5, 7)))
    found = expect_twins(segment.int(), part, categories, pids, device)
    assert found.shape == (num_images, 3, *size)


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_by_hand_with_any_integer_dtype(dtype, device):
    segment = torch.tensor([[[0, 1], [2, 3], [4, 99]]], dtype=dtype)
    part = torch.tensor([[[1, 1], [0, 99], [1, 1]]], dtype=dtype)
    categories = torch.tensor([[1, 0, 1, -1]], dtype=dtype if dtype.is_signed else torch.int32)
    pids = torch.tensor([[7, 8, 9], [17, 18, 19], [1, 1, 1]])
    found = expect_twins(segment.mT.contiguous().mT, part, categories, pids, device)
    assert found[:, 0].tolist() == [[[255, 1], [0, 1], [255, 255]]]
    assert found[:, 1].tolist() == [[[0, 1], [1, 2], [0, 0]]], "instances count up within a class"
    assert found[:, 2].tolist() == [[[0, 18], [7, 19], [0, 0]]]


def test_categories_that_int32_cannot_hold_are_void(device):
    segment, part = torch.tensor([[[1, 2, 3, 4]]]), torch.ones(1, 1, 4, dtype=torch.int32)
    categories = torch.tensor([[2**32 + 1, 1, 2**31 - 1, 2**31]])
    pids = torch.tensor([[7, 8, 9], [17, 18, 19], [1, 1, 1]])
    found = expect_twins(segment, part, categories, pids, device)
    assert found.tolist() == [[[[255, 1, 2**31 - 1, 255]], [[0, 1, 1, 0]], [[0, 18, 1, 0]]]]

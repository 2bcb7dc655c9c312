"""Joint counts of raw id maps: by hand, against a loop, and both versions at awkward sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.counting.joint_counts import joint_counts
from pps_torch.ops.counting.pixel_runs import MAX_PIXELS
from tests.factories import INTEGER_DTYPES
from tests.ops.twins import expect_twins


def test_by_hand_with_ids_outside():
    rows = torch.tensor([[0, 0, 1, 1, 5, -1]])
    columns = torch.tensor([[0, 2, 2, 2, 0, 3]])
    counts = expect_twins(joint_counts, rows, columns, 2, 3)
    assert counts.tolist() == [[[1, 0, 1, 0], [0, 0, 2, 0], [1, 0, 0, 1]]]


@pytest.mark.parametrize("num_images, num_pixels", [(1, 1), (3, 50), (0, 4), (2, 0), (1, 2053)])
@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_as_a_loop(num_images, num_pixels, dtype):
    rng = np.random.default_rng(num_pixels)
    low = 0 if dtype == torch.uint8 else -2
    ids = rng.integers(low, 9, (2, num_images, num_pixels // 5 + 1)).repeat(5, 2)[..., :num_pixels]
    expected = np.zeros((num_images, 5, 7), np.int64)
    for image in range(num_images):
        for row, column in zip(*ids[:, image]):
            row, column = row if 0 <= row < 4 else 4, column if 0 <= column < 6 else 6
            expected[image, row, column] += 1
    rows, columns = torch.from_numpy(ids)
    counts = expect_twins(joint_counts, rows.to(dtype), columns.mT.contiguous().mT, 4, 6)
    assert counts.dtype == torch.int32 and np.array_equal(counts.numpy(), expected)


def test_the_ends_of_the_id_types():
    ids = torch.tensor([[-(2**63), 2**63 - 1, 2**32, 2**32 + 1, 1]])
    counts = expect_twins(joint_counts, ids, ids.flip(1), 1, 2)
    assert counts.tolist() == [[[0, 0, 0], [0, 1, 4]]]


def test_an_image_of_too_many_pixels_is_refused():
    pixels = torch.zeros(1, 1, dtype=torch.uint8).expand(1, MAX_PIXELS)
    with pytest.raises(ValueError, match=r"2\*\*30 pixels an image, found 1073741824"):
        joint_counts(pixels, pixels, 1, 1)


def test_images_of_more_than_one_block():
    ids = torch.arange(5 * 700).view(5, 700) // 9
    counts = expect_twins(joint_counts, ids % 4, ids % 3, 4, 3)
    assert counts.sum((1, 2)).tolist() == [700] * 5

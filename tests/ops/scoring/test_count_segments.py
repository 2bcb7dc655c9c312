"""The segments of a batch in one operation: what PQ counts, by hand and in both versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.scoring.count_segments import count_segments
from tests.ops.twins import DEVICE, expect_equal, on_device

BACKENDS = ("torch", "triton")
CLASS_IDS = torch.tensor([3, 200, 7])


def counted(images, backend: str, **options):
    """Class sums and faults after two batches, the same one twice."""
    sums, faults = (
        torch.zeros(shape, dtype=torch.int64, device=DEVICE) for shape in ((len(CLASS_IDS), 5), 4)
    )
    for _ in range(2):
        count_segments(
            sums, faults, *on_device(images), CLASS_IDS.to(DEVICE), backend=backend, **options
        )
    return sums.cpu(), faults.cpu()


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend):
    """A match of IoU 3/4, one segment missed, one invented, a category and an id unknown."""
    images = (
        torch.tensor([[1, 1, 1, 1, 2, 0, 0, 0]]),
        torch.tensor([[1, 1, 1, 2, 2, 3, 9, 0]]),
        torch.tensor([[7, 3, -1]]),
        torch.tensor([[7, 7, 99]]),
        torch.tensor([[False, False, False]]),
    )
    sums, faults = counted(images, backend)
    assert sums.tolist() == [
        [0, 0, 0, 0, 2],  # the segment of category 3 is missed
        [0, 0, 0, 0, 0],
        [2 * 3 * 2**28, 0, 2, 2, 0],  # of category 7 one matches, and one is invented
    ]
    assert faults.tolist() == [2, 0, 2, 0]  # id 9 has no row, category 99 no class


@pytest.mark.parametrize(
    "num_images, num_pixels, last_crowd_only",
    [(0, 9, False), (1, 0, False), (2, 1201, False), (1, 1201, True)],
)
def test_twins(num_images, num_pixels, last_crowd_only):
    rng = np.random.default_rng(num_pixels)
    gt, pred = (
        np.repeat(rng.integers(0, 40, (num_images, 1 + num_pixels // 7)), 7, 1) for _ in "ab"
    )
    pred = np.where(rng.random(pred.shape) < 0.7, gt, pred)
    images = [torch.from_numpy(ids[:, :num_pixels]) for ids in (gt, pred)]
    for size in (36, 150):
        images.append(torch.from_numpy(rng.choice([-1, 3, 7, 200, 9], (num_images, size))))
    images.append(torch.from_numpy(rng.random((num_images, 36)) < 0.2))
    expected, found = (
        counted(tuple(images), backend, last_crowd_only=last_crowd_only) for backend in BACKENDS
    )
    expect_equal(found, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_of_too_many_pixels_are_refused(backend):
    pixels = torch.zeros(1, 1, dtype=torch.uint8).expand(1, 1 << 30)
    rows = torch.zeros(1, 1, dtype=torch.int64)
    sums = torch.zeros(3, 5, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"fewer than 2\*\*30 pixels"):
        count_segments(*sums, pixels, pixels, rows, rows, rows > 0, CLASS_IDS, backend=backend)

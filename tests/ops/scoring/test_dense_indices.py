"""Keys that are present in an image are numbered from 1 on, in their order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.scoring.dense_indices import dense_indices
from tests.ops.twins import DEVICE

BACKENDS = ("torch", "triton")


def present(*keys_of_images: list[int], num_keys: int) -> torch.Tensor:
    marks = torch.zeros(len(keys_of_images), num_keys, dtype=torch.bool)
    for row, keys in zip(marks, keys_of_images):
        row[keys] = True
    return marks.to(DEVICE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend):
    found = dense_indices(present([0, 7, 2], [9], num_keys=10), 3, backend=backend)
    assert found.index.tolist() == [[0, 0, 1, 0, 0, 0, 0, 2, 0, 0], [0] * 9 + [1]]
    assert [row[:3] for row in found.keys.tolist()] == [[0, 2, 7], [0, 9, 0]]
    assert found.num_dropped.item() == 0


@pytest.mark.parametrize("capacity", [1, 3, 20])
@pytest.mark.parametrize("num_images, num_keys", [(3, 13), (2, 4099), (1, 1), (0, 5)])
def test_twins_number_the_same_keys_and_count_the_rest(num_images, num_keys, capacity):
    rng = np.random.default_rng(capacity)
    marks = torch.from_numpy(rng.random((num_images, num_keys)) < 7 / num_keys).to(DEVICE)
    one, other = (dense_indices(marks, capacity, backend=backend) for backend in BACKENDS)
    assert torch.equal(one.index, other.index)
    assert torch.equal(one.num_dropped, other.num_dropped)
    # On the CPU the plain version makes the table only as large as the images need.
    width = one.keys.shape[1]
    assert torch.equal(one.keys, other.keys[:, :width]) and not other.keys[:, width:].any()
    num_present = marks[:, 1:].sum(1)
    assert one.num_dropped == (num_present - capacity).clamp(min=0).sum()
    for row in range(num_images):
        keys = one.keys[row, 1 : 1 + min(int(num_present[row]), capacity)]
        assert marks[row, keys].all()
        assert one.index[row, keys].tolist() == list(range(1, len(keys) + 1))

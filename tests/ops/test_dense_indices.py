"""Distinct keys of each image are numbered from 1 on, in the order of the keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.dense_indices import dense_indices


def test_by_hand(device):
    image = torch.tensor([0, 0, 0, 0, 1, 1], device=device)
    keys = torch.tensor([7, -1, 2, 7, -1, 9], device=device)
    found = dense_indices(image, keys, num_images=2, num_keys=10, capacity=3)
    assert found.index.tolist() == [2, 0, 1, 2, 0, 1]
    assert [row[:3] for row in found.keys.tolist()] == [[-1, 2, 7], [-1, 9, -1]]
    assert found.num_dropped.item() == 0


@pytest.mark.parametrize("capacity", [1, 3, 20])
def test_index_and_keys_belong_together_and_the_rest_is_counted(capacity, device):
    rng = np.random.default_rng(capacity)
    for _ in range(30):
        image = torch.from_numpy(np.sort(rng.integers(0, 3, 40))).to(device)
        keys = torch.from_numpy(rng.integers(-1, 12, 40)).to(device)
        found = dense_indices(image, keys, num_images=3, num_keys=12, capacity=capacity)
        in_table = found.index > 0
        assert torch.equal(found.keys[image, found.index][in_table], keys[in_table])
        distinct = [set(keys[image == i].tolist()) - {-1} for i in range(3)]
        kept = [set(found.index[image == i].tolist()) - {0} for i in range(3)]
        assert [max(k, default=0) for k in kept] == [len(k) for k in kept]
        assert all(len(k) == min(len(d), capacity) for k, d in zip(kept, distinct))
        dropped = sum(max(len(d) - capacity, 0) for d in distinct)
        assert found.num_dropped.item() == dropped


def test_nothing_to_number():
    none = torch.zeros(0, dtype=torch.int64)
    found = dense_indices(none, none, num_images=0, num_keys=5, capacity=4)
    assert found.index.shape == (0,) and len(found.keys) == 0 and found.num_dropped.item() == 0

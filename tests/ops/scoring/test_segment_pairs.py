"""Pairs of segments: by hand, and the same list from each way of making it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.scoring import contract, segment_pairs
from pps_torch.ops.scoring.segment_pairs import list_pairs
from tests.ops.twins import on_device


def listed(pairs):
    """The pairs that have pixels, by ground truth, prediction and pixels."""
    return [row for row in zip(*(column.tolist() for column in pairs)) if row[2]]


def test_by_hand():
    gt = torch.tensor([[0, 1, 1, 1], [2, 2, -7, 2]])
    pred = torch.tensor([[1, 1, 1, 0], [9, 0, 1, 9]], dtype=torch.uint8)
    pairs = segment_pairs.segment_pairs(gt, pred, 4, 3)  # 3 and 2 stand for all other ids
    assert listed(pairs) == [(0, 1, 1), (1, 0, 1), (1, 1, 2), (6, 3, 1), (6, 5, 2), (7, 4, 1)]


WAYS = ["table", "sorted", "graph table", "graph sorted", "triton"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(1, 1), (2, 130), (0, 4), (2, 0)])
def test_each_way_gives_the_same_pairs(way, shape, monkeypatch):
    rng = np.random.default_rng(shape)
    gt, pred = (torch.from_numpy(rng.integers(-1, 6, shape)).repeat_interleave(3, 1) for _ in "ab")
    sizes = (5, 4) if "sorted" not in way else (50, 40)
    expected: dict = {}
    for image, *ids in zip(
        torch.arange(shape[0]).repeat_interleave(gt.shape[1]), *map(torch.flatten, (gt, pred))
    ):
        g, p = (int(i) if 0 <= i < size else size - 1 for i, size in zip(ids, sizes))
        key = int(image) * sizes[0] + g, int(image) * sizes[1] + p
        expected[key] = expected.get(key, 0) + 1
    if "graph" in way:
        monkeypatch.setattr(segment_pairs, "is_on_host", lambda _: False)
        monkeypatch.setattr(contract, "MAX_TABLE_CELLS", 2000 if "table" in way else 100)
    backend = "triton" if way == "triton" else "torch"
    pairs = segment_pairs.segment_pairs(*on_device((gt, pred)), *sizes, backend=backend)
    assert listed(pairs) == sorted((*key, n) for key, n in expected.items())
    num_cells, num_pixels = shape[0] * sizes[0] * sizes[1], gt.numel()
    assert len(pairs.gt) <= (num_cells if "table" in way or way == "triton" else num_pixels)


@pytest.mark.parametrize("size", [2, 90])
def test_a_pair_that_comes_twice_is_listed_once(size):
    columns = map(torch.tensor, ([0, 0, 0], [1, 0, 1], [0, 1, 0], [2, 5, 3]))
    pairs = list_pairs(*columns, (1, size, 2))
    assert listed(pairs) == [(0, 1, 5), (1, 0, 5)]

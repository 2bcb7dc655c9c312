"""The segments of a batch in one operation for PartPQ: runs of all lengths, many segments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import PartPanopticQuality
from pps_torch.ops.scoring.contract import PIXEL_FAULTS
from pps_torch.ops.scoring.count_part_segments import count_part_segments
from tests.factories import remapped_spec
from tests.ops.twins import DEVICE, expect_equal, on_device

BACKENDS = ("torch", "triton")
SPEC = remapped_spec()


def counted(uids, pps, capacity: int, backend: str):
    """Class sums, faults, unknown pixels of either map."""
    rules = PartPanopticQuality(SPEC, capacity=capacity).to(DEVICE).pixel_rules()
    shapes = (len(rules.tables.has_parts_class), 5), len(PIXEL_FAULTS) + 2, (), ()
    sums = [torch.zeros(shape, dtype=torch.int64, device=DEVICE) for shape in shapes]
    count_part_segments(*sums, *on_device((uids, pps)), rules, backend=backend)
    return tuple(on_device(tuple(sums), "cpu"))


def repeated(rng, values, num_images: int, num_pixels: int, length: int):
    """Maps in which each run has some `length` pixels."""
    ids = rng.choice(values, (num_images, -(-num_pixels // length)))
    return torch.from_numpy(np.repeat(ids, length, 1)[:, :num_pixels])


@pytest.mark.parametrize(
    "length, capacity",
    [(7, 3), (5000, 6), *(pytest.param(1, n, marks=pytest.mark.slow) for n in (6, 40))],
)
def test_runs_of_one_pixel_and_runs_longer_than_a_block(length, capacity):
    """Two blocks, of which each pixel, or none but the first, begins a run."""
    rng, shape = np.random.default_rng(length), (1, 2200, length)
    groups, sids = [*SPEC.dataset_sid_to_eval_sid], [*SPEC.eval_sids, 255]
    sid, iid, pid = (repeated(rng, v, *shape) for v in (groups, range(9), range(1, 6)))
    uids = torch.where(iid > 5, sid, (sid * 1000 + iid) * 100 + pid)
    pps = torch.stack([repeated(rng, v, *shape) for v in (sids, range(9), range(-1, 6))], 1)
    expected, found = (counted(uids, pps, capacity, backend) for backend in BACKENDS)
    expect_equal(found, expected)
    assert expected[0].any()


def test_a_batch_of_five():
    rng = np.random.default_rng(0)
    uids = repeated(rng, [*SPEC.dataset_sid_to_eval_sid], 5, 30, 4)
    pps = torch.stack([repeated(rng, v, 5, 30, 3) for v in (SPEC.eval_sids, (0, 1), (0, 1))], 1)
    expected, found = (counted(uids, pps, 9, backend) for backend in BACKENDS)
    expect_equal(found, expected)

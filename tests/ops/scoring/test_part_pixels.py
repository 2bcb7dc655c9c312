"""The three passes over the pixels for PartPQ: both versions at awkward sizes and dtypes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import PartPanopticQuality
from pps_torch.ops.scoring.dense_indices import dense_indices
from pps_torch.ops.scoring.part_pixels import part_pixels
from tests.factories import pps_pair, remapped_spec
from tests.ops.twins import DEVICE, expect_equal, on_device

SPEC = remapped_spec()
METRIC = PartPanopticQuality(SPEC, capacity=30).to(DEVICE)


def three_passes(uids, pps, rng, backend: str):
    """All counts, with arbitrary matches and crowds."""
    pixels = part_pixels(uids, pps, METRIC.pixel_rules(), backend=backend)
    marks = pixels.mark()
    gt, pred = (
        dense_indices(marked, METRIC.capacity, backend=backend) for marked in (marks.gt, marks.pred)
    )
    # On the CPU the plain version makes the tables only as large as the images need.
    room = torch.zeros(len(uids), 31, dtype=torch.int64, device=DEVICE)
    segments = pixels.index(gt._replace(keys=room), pred._replace(keys=room))
    gt_of_pred = torch.from_numpy(rng.integers(0, 4, (len(uids), 31)))
    gt_class = torch.from_numpy(rng.integers(-1, 3, (len(uids), 31)))
    is_crowd = torch.from_numpy(rng.random((len(uids), 31)) < 0.3)
    matches = on_device((gt_of_pred, gt_class, is_crowd))
    parts = segments.count_parts(*matches)
    pairs, gt_parts = segments.count_overlaps()
    expect_equal(segments.count_parts(*matches), parts)  # in any order
    joint = torch.zeros(len(uids) * 31, 31, dtype=torch.int64, device=DEVICE)
    joint.index_put_((pairs.gt, pairs.pred % 31), pairs.pixels, accumulate=True)
    return *marks, joint, with_all_labels(gt_parts), with_all_labels(parts)


def with_all_labels(parts):
    """Counts of 256 part labels: on the CPU the plain version has no more than there are."""
    unused = parts.new_zeros(*parts.shape[:-1], 256 - parts.shape[-1])
    return torch.cat([parts[..., :-1], unused, parts[..., -1:]], -1)


@pytest.mark.parametrize("num_images, size", [(1, (1, 1)), (2, (29, 37)), (0, (2, 3)), (3, (1, 5))])
@pytest.mark.parametrize(
    "uids_dtype, pps_dtype", [(torch.int32, torch.uint8), (torch.int64, torch.int16)]
)
def test_twins(num_images, size, uids_dtype, pps_dtype):
    rng = np.random.default_rng(size)
    pairs = [pps_pair(rng, size, SPEC) for _ in range(max(num_images, 1))]
    pps, uids = (torch.from_numpy(np.stack(c))[:num_images].flatten(-2) for c in zip(*pairs))
    maps = on_device((uids.to(uids_dtype), pps.to(pps_dtype)))
    expected, found = (
        three_passes(*maps, np.random.default_rng(1), backend) for backend in ("torch", "triton")
    )
    expect_equal(found, expected)
    joint, gt_parts = expected[5:7]
    assert joint.sum() == gt_parts.sum() == uids.numel()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int64])
def test_twins_on_every_number_of_narrow_dtypes(dtype):
    info = torch.iinfo(dtype)
    values = torch.arange(max(info.min, -300), min(info.max, 300) + 1).to(dtype)
    values = torch.cat([values, values.new_tensor([info.min, info.max])])
    pps = torch.stack([values, values.flip(0), values])[None]
    maps = on_device((values[None], pps))
    expected, found = (
        three_passes(*maps, np.random.default_rng(1), backend) for backend in ("torch", "triton")
    )
    expect_equal(found, expected)

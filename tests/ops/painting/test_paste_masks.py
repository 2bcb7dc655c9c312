"""Box pasting against the oracle; the window holds all that a mask can reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.paste_masks import box_window, paste_masks
from tests.factories import boxed_instances
from tests.oracles.paste_masks import paste_masks as slow_paste


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("mask_size", [1, 2, 7])
def test_random_boxes_as_the_oracle(mask_size, threshold, device):
    """A sample within rounding of the threshold may fall either way."""
    probs, boxes = boxed_instances(np.random.default_rng(mask_size), (11, 16), 20, mask_size)
    expected = slow_paste(probs, boxes, 11, 16)
    found = paste_masks(
        *(torch.from_numpy(a).to(device) for a in (probs, boxes)),
        slice(0, 11),
        slice(0, 16),
        mask_threshold=threshold,
    )
    differs = found.cpu().numpy() != (expected >= threshold)
    assert np.abs(expected[differs] - threshold).max(initial=0) < 1e-5


@pytest.mark.parametrize("threshold", [0.01, 0.5])
@pytest.mark.parametrize("mask_size", [1, 2, 28])
def test_a_window_holds_all_that_a_mask_can_reach(mask_size, threshold):
    rng = np.random.default_rng(mask_size)
    _, boxes = boxed_instances(rng, (23, 31), 40)
    probs = torch.ones(1, mask_size, mask_size)
    for box in torch.from_numpy(boxes):
        whole = paste_masks(probs, box[None], slice(0, 23), slice(0, 31), mask_threshold=threshold)
        rows, columns = box_window(box, (23, 31), side=mask_size)
        part = paste_masks(probs, box[None], rows, columns, mask_threshold=threshold)
        assert torch.equal(whole[:, rows, columns], part)
        assert part.sum() == whole.sum()

"""The greedy choice against the heuristic merge of the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.greedy_paint import MaskWindow, greedy_paint
from tests.factories import SIZES, instances
from tests.oracles.merge_panoptic import merge_panoptic as slow_merge

ALL = slice(None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_random_masks_as_the_oracle(size, threshold, device):
    rng = np.random.default_rng(size)
    for _ in range(20):
        sem_seg, masks, _, classes = instances(rng, size, 7, [1])
        eligible = rng.random(7) < 0.8
        windows = [MaskWindow(ALL, ALL, torch.from_numpy(m).to(device)[None]) for m in masks]
        eligible_row = torch.from_numpy(eligible).to(device)[None]
        owner, keep = greedy_paint(windows, eligible_row, size, overlap_threshold=threshold)
        panoptic, segments = slow_merge(
            sem_seg, masks, eligible * 1.0, classes, stuff_ids=[], overlap_threshold=threshold
        )
        ranks = [s["source"] for s in segments]
        assert keep[0].nonzero()[:, 0].tolist() == ranks
        assert np.array_equal(
            owner[0].cpu().numpy(), np.array([0, *(r + 1 for r in ranks)])[panoptic]
        )


def test_a_window_is_a_part_of_the_canvas():
    # The second window of 2 x 2 pixels has one pixel of three on the first: 1 / 3 is covered.
    first = MaskWindow(slice(0, 2), slice(0, 2), torch.ones(1, 2, 2, dtype=torch.bool))
    corner = torch.tensor([[[True, True], [True, False]]])
    second = MaskWindow(slice(1, 3), slice(1, 3), corner)
    eligible = torch.ones(1, 2, dtype=torch.bool)
    owner, keep = greedy_paint([first, second], eligible, (3, 4), overlap_threshold=0.34)
    assert owner[0].tolist() == [[1, 1, 0, 0], [1, 1, 2, 0], [0, 2, 0, 0]]
    owner, keep = greedy_paint([first, second], eligible, (3, 4), overlap_threshold=0.33)
    assert keep.tolist() == [[True, False]]

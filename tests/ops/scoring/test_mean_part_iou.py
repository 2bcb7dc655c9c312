"""The mean part IoU of a match, by hand, and both versions on random counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.scoring.contract import SegmentMatches
from pps_torch.ops.scoring.mean_part_iou import mean_part_iou
from tests.ops.twins import expect_twins


def matches_of(pred_of_gt: torch.Tensor, iou: torch.Tensor, gt_area: torch.Tensor):
    unused = torch.zeros_like(gt_area)
    return SegmentMatches(pred_of_gt, unused, iou, unused, unused, gt_area, unused)


def test_by_hand():
    # Segment 1 has 4 pixels of part 1 and 6 of part 2. Its match has part 1 on 3 of the former,
    # part 2 on the other one, nothing on 5 pixels, void on one, and part 2 on 2 pixels outside.
    gt_parts, pred_parts = torch.zeros(1, 2, 256).int(), torch.zeros(1, 2, 3, 256).int()
    gt_parts[0, 1, 1:3] = torch.tensor([4, 6])
    pred_parts[0, 1, 0, 2] = 2
    pred_parts[0, 1, 1, 1] = 3
    pred_parts[0, 1, 2, [2, 255]] = torch.tensor([1, 1]).int()
    table = (
        torch.tensor([[0, 1]]),
        torch.tensor([[0.0, 0.9]], dtype=torch.float64),
        torch.tensor([[5, 20]]),
    )
    others = (torch.tensor([[-1, 0]]), torch.tensor([[False, False]]))
    has_parts = torch.tensor([[False, True]])
    found = expect_twins(
        mean_part_iou, gt_parts, pred_parts, matches_of(*table), *others, has_parts, num_classes=1
    )
    # Of the 20 evaluated pixels 10 are background in the ground truth, 13 in the prediction,
    # and 8 in both.
    assert found[0, 0] == 0.0
    torch.testing.assert_close(found[0, 1].item(), (3 / 4 + 0 / 9 + 8 / 15) / 3, atol=1e-15, rtol=0)
    found = expect_twins(
        mean_part_iou, gt_parts, pred_parts, matches_of(*table), *others, ~has_parts, num_classes=1
    )
    assert found.tolist() == [[0.0, 0.9]]


@pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_twins_on_random_counts(many):
    rng = np.random.default_rng(0)
    for num_images, num_gt, num_pred in ((1, 300, 3),) if many else ((2, 5, 7), (0, 2, 2)):
        gt_parts = torch.from_numpy(rng.integers(0, 9, (num_images, num_gt, 256))).int()
        pred_parts = torch.from_numpy(rng.integers(0, 3, (num_images, num_pred, 3, 256))).int()
        shape = (num_images, num_gt)
        pred_of_gt = torch.from_numpy(rng.integers(0, num_pred, shape))
        gt_area = gt_parts.sum(2) + 3000
        iou = torch.from_numpy(rng.random(shape)) * (pred_of_gt > 0)
        classes = torch.from_numpy(rng.integers(-1, 3, shape))
        flags = [torch.from_numpy(rng.random(shape) < share) for share in (0.2, 0.7)]
        classes[:, 0], flags[0][:, 0] = -1, False  # void has no class, and is no crowd
        matches = matches_of(pred_of_gt, iou, gt_area)
        tables = gt_parts, pred_parts, matches, classes
        expect_twins(mean_part_iou, *tables, *flags, num_classes=3)

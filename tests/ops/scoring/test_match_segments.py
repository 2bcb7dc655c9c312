"""Matching from pairs of segments: the thresholds at their edges, crowds, and both versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.segment_pairs import pairs_of_table
from tests.ops.twins import expect_twins


def match(joint, gt_class, pred_class, is_crowd=None, **options):
    """One image, from lists; row and column 0 are void."""
    is_crowd = torch.tensor([is_crowd or [False] * len(gt_class)])
    classes = torch.tensor([gt_class]), torch.tensor([pred_class])
    pairs = pairs_of_table(torch.tensor([joint]))
    return expect_twins(match_segments, pairs, *classes, is_crowd, **options)


@pytest.mark.parametrize("overlap, is_match", [(5, False), (6, True)])
def test_the_iou_must_be_above_one_half(overlap, is_match):
    # IoU 5 / 10, and 6 / 9: 5 and 3 pixels of the segments lie on the other's void.
    joint = [[0, 0], [10 - overlap - (overlap == 6), overlap]]
    found = match(joint, [-1, 0], [-1, 0])
    assert found.pred_of_gt.tolist() == [[0, int(is_match)]]
    assert found.gt_of_pred.tolist() == [[0, int(is_match)]]
    assert found.is_fn.tolist() == [[False, not is_match]]
    assert found.is_fp.tolist() == [[False, not is_match]]
    assert found.iou[0, 1] == (6 / 9 if is_match else 0)


def test_void_leaves_the_union_and_forgives_above_one_half():
    assert match([[0, 90], [2, 3]], [-1, 0], [-1, 0]).iou[0, 1] == 3 / 5
    assert match([[0, 5], [9, 5]], [-1, 0], [-1, 0]).is_fp[0, 1]
    assert not match([[0, 6], [9, 5]], [-1, 0], [-1, 0]).is_fp[0, 1]


def test_all_crowds_of_the_class_forgive_or_only_the_last():
    joint = [[0, 0], [0, 3], [0, 3], [0, 4]]
    table = (joint, [-1, 0, 0, 1], [-1, 0], [False, True, True, False])
    assert not match(*table).is_fp[0, 1]
    assert match(*table, last_crowd_only=True).is_fp[0, 1]


@pytest.mark.parametrize(
    "num_images, num_gt, num_pred",
    [(0, 3, 3), (3, 1, 1), (1, 5, 131), pytest.param(2, 70, 5, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("last_crowd_only", [False, True])
def test_twins_on_random_tables(num_images, num_gt, num_pred, last_crowd_only):
    rng = np.random.default_rng(num_gt)
    for _ in range(3):
        joint = rng.integers(0, 30, (num_images, num_gt, num_pred)) * (rng.random() < 0.5)
        for image in joint:
            for gt in range(1, num_gt):
                image[gt, rng.integers(num_pred)] = rng.choice([500, 2_000, 2**29])
        classes = [rng.integers(-3, 3, (num_images, size)) for size in (num_gt, num_pred)]
        for gt_or_pred in classes:
            gt_or_pred[:, 0] = -1
        is_crowd = torch.from_numpy(rng.random((num_images, num_gt)) < 0.3)
        joint, *classes = map(torch.from_numpy, (joint, *classes))
        tables = pairs_of_table(joint), *classes, is_crowd
        found = expect_twins(match_segments, *tables, last_crowd_only=last_crowd_only)
        assert torch.equal(found.gt_area, joint.sum(2))
        assert torch.equal(found.pred_area, joint.sum(1))

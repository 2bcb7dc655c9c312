"""The IoUs of all segments that overlap, by hand."""

import pytest
import torch

from pps_torch.ops.scoring.contract import LIMB_BITS
from pps_torch.ops.scoring.overlap_ious import add_overlap_ious
from pps_torch.ops.scoring.segment_pairs import pairs_of_table


def added(table, gt_class, pred_class, is_counted):
    """[IoU sum, segments] of each of two classes after one image, added twice."""
    sums = torch.zeros(2, 3, dtype=torch.int64)
    for _ in range(2):
        classes = torch.tensor([gt_class]), torch.tensor([pred_class])
        add_overlap_ious(
            sums, pairs_of_table(torch.tensor([table])), *classes, torch.tensor([is_counted])
        )
    upper, lower, count = sums.T.tolist()
    ious = [((u << LIMB_BITS) + low) / 2 ** (2 * LIMB_BITS) for u, low in zip(upper, lower)]
    return [[iou, n] for iou, n in zip(ious, count)]


def test_any_overlap_counts_and_void_leaves_the_union():
    # IoU 2 / 8: of the prediction's 6 pixels 4 lie on void. Then one of 1 / 3.
    assert added([[0, 4], [6, 2]], [-1, 1], [-1, 1], [False, True]) == [[0, 0], [2 / 4, 2]]
    (iou, count), _ = added([[0, 0], [2, 1]], [-1, 0], [-1, 0], [False, True])
    assert iou == pytest.approx(2 / 3, abs=1e-15) and count == 2


def test_two_predictions_of_the_class_add_up():
    table = [[0, 0, 0], [0, 3, 1]]
    assert added(table, [-1, 0], [-1, 0, 0], [False, True]) == [[2 * (3 / 4 + 1 / 4), 2], [0, 0]]


@pytest.mark.parametrize(
    "gt_class, pred_class, is_counted, count",
    [(1, 0, True, 2), (1, 1, False, 0), (-3, -3, True, 0)],
)
def test_other_classes_crowds_and_what_has_no_class_add_no_iou(
    gt_class, pred_class, is_counted, count
):
    found = added([[0, 0], [0, 5]], [-1, gt_class], [-1, pred_class], [False, is_counted])
    assert found == [[0, 0], [0, count]]

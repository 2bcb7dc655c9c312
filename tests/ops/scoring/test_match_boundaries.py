"""Matches that need their boundaries too, by hand."""

import pytest
import torch

from pps_torch.ops.scoring.match_boundaries import match_boundaries
from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.segment_pairs import pairs_of_table

CLASSES = torch.tensor([[-1, 0, -3]])  # void, a segment, what has no row


def match(masks, boundaries):
    """One segment in either map; the last rows and columns are interiors among boundaries."""
    masks, boundaries = (pairs_of_table(torch.tensor([table])) for table in (masks, boundaries))
    arguments = CLASSES, CLASSES, torch.zeros(1, 3, dtype=torch.bool)
    matches = match_segments(masks, *arguments, last_crowd_only=True)
    return match_boundaries(matches, masks, boundaries, *arguments)


def test_the_smaller_iou_counts():
    # Masks 8 / 10. The boundaries have 6 pixels each, 5 of them in both: 5 / 7.
    found, scores = match([[0, 0, 0], [2, 8, 0], [0] * 3], [[0] * 3, [0, 5, 1], [0, 1, 2]])
    assert found.pred_of_gt.tolist() == [[0, 1, 0]] and found.gt_of_pred.tolist() == [[0, 1, 0]]
    assert not found.is_fn.any() and not found.is_fp.any()
    assert found.iou[0, 1] == 8 / 10 and scores.tolist() == [[0, 5 / 7, 0]]
    # Boundaries that agree: the masks decide.
    _, scores = match([[0, 0, 0], [2, 8, 0], [0] * 3], [[0] * 3, [0, 6, 0], [0, 0, 2]])
    assert scores.tolist() == [[0, 8 / 10, 0]]


@pytest.mark.parametrize("shared, is_match", [(4, False), (5, True)])
def test_the_iou_of_boundaries_must_be_above_one_half(shared, is_match):
    # Of 6 pixels of either boundary some are shared: 4 / 8, 5 / 7.
    other = 6 - shared
    boundaries = [[0] * 3, [0, shared, other], [0, other, 9]]
    found, scores = match([[0] * 3, [0, 20, 0], [0] * 3], boundaries)
    assert found.pred_of_gt.tolist() == [[0, int(is_match), 0]]
    assert found.is_fn[0, 1] == found.is_fp[0, 1] == (not is_match)
    assert (scores[0, 1] > 0.5) == is_match


def test_void_leaves_the_union_of_boundaries():
    # 9 pixels of the prediction's boundary lie on void: 3 / (4 + 4 - 3) is left.
    found, scores = match([[0, 9, 0], [0, 9, 0], [0] * 3], [[0, 9, 0], [0, 3, 1], [0, 1, 4]])
    assert found.pred_of_gt[0, 1] == 1 and scores[0, 1] == 3 / 5


def test_masks_decide_what_excuses_a_prediction():
    # The masks match, the boundaries do not; most of the prediction's mask lies on void.
    found, scores = match([[0, 90, 0], [0, 10, 0], [0] * 3], [[0] * 3, [0, 1, 5], [0, 5, 5]])
    assert found.is_fn[0, 1] and not found.is_fp[0, 1] and not scores.any()

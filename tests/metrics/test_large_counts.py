"""Sums beyond 2**31 and 2**53 stay exact: counts as integers, qualities to the last bits."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
import torch

from pps_torch import (
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
)
from pps_torch.metrics.class_counts import (
    ClassCounts,
    iou_of_limbs,
    mean_of_present,
    mean_qualities,
)
from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.segment_pairs import pairs_of_table
from tests.factories import CATEGORIES
from tests.golden.state_dicts.record import metrics, update

BEYOND = [1 << 31, 1 << 32, (1 << 53) + 1, 1 << 58]


def doubled(name: str, times: int):
    """A metric that has counted the scene 2**times times, by merging."""
    metric = metrics()[name]
    update(metric)
    for _ in range(times):
        twin = metrics()[name]
        twin.load_state_dict(metric.state_dict())
        metric.merge_state(twin)
    return metric


@pytest.mark.parametrize("name", metrics())
def test_two_to_the_31_times_the_same_scene_and_once_more(name):
    """Past 2**31 matches and, in pixels, past 2**32: each number is the one of a single scene."""
    once, often = doubled(name, 0), doubled(name, 31)
    for key, state in often.state_dict().items():
        assert torch.equal(state, once.state_dict()[key] << 31)
    assert often.compute().summary == once.compute().summary
    update(often)
    for key, state in often.state_dict().items():
        assert torch.equal(state, once.state_dict()[key] * ((1 << 31) + 1))
    again = metrics()[name]
    again.load_state_dict(often.state_dict())
    assert again.compute().as_dict() == often.compute().as_dict()


@pytest.mark.parametrize("name", ["MeanIoU", "PartIoU"])
def test_pixels_beyond_2_to_the_53(name):
    once, often = doubled(name, 0), doubled(name, 55)
    assert often.compute().summary == once.compute().summary
    update(often)
    for label, row in once.compute().per_class.items():
        for key in ("tp", "gt_pixels", "pred_pixels"):
            assert often.compute().per_class[label][key] == row[key] * ((1 << 55) + 1)


@pytest.mark.parametrize("start", BEYOND)
def test_pixels_are_added_one_by_one(start):
    metric = MeanIoU(CATEGORIES)
    metric.confusion += start
    pred, gt = torch.tensor([[3, 3, 7]]), torch.tensor([[3, 7, 7]])
    result = metric.update(pred, gt).compute()
    assert metric.confusion.sum() - metric.confusion.numel() * start == 3
    row = result.per_class[3]
    union = start * (2 * len(CATEGORIES)) + 2
    assert row["tp"] == start + 1 and type(row["tp"]) is int
    assert row["IoU"] == float(Fraction(start + 1, union)), "rounded once"
    assert json.loads(json.dumps(result.as_dict()))["per_class"]["3"]["tp"] == start + 1


@pytest.mark.parametrize("start", BEYOND)
def test_segments_without_a_match_are_counted_beyond(start):
    metric = doubled("PanopticQuality", 0)
    row = metric.category_ids.tolist().index(7)
    metric.class_sums[row, 3:] += start
    update(metric)
    found = metric.compute().per_class[7]
    assert (found["tp"], found["fp"], found["fn"]) == (4, start, start)
    expected = Fraction(found["iou"]) / (4 + Fraction(start))
    assert found["PQ"] == pytest.approx(float(expected), rel=2**-51, abs=0)


def test_matches_up_to_the_last_one_that_the_limbs_hold():
    """2**33 - 1 matches with the largest limbs that there can be."""
    number = (1 << 33) - 1
    metric = PanopticQuality(CATEGORIES)
    metric.class_sums[0] = torch.tensor([number << 30, 0, number, 0, 0])
    row = metric.compute().per_class[CATEGORIES[0]["id"]]
    assert row["iou"] == number and row["PQ"] == 1.0
    lower = (1 << 30) - 1
    total = ((number << 29) << 30) + number * lower  # each IoU is one half and a little
    found = iou_of_limbs(number << 29, number * lower, number)
    assert found == float(Fraction(total, 1 << 60)), "rounded once"


@pytest.mark.parametrize("number", [1 << 33, 1 << 53])
def test_more_matches_than_the_limbs_hold_are_an_error(number):
    metric = PanopticQuality(CATEGORIES)
    metric.class_sums[0, 2] = number
    with pytest.raises(ValueError, match=rf"IoUs: expected .* fewer than 2\*\*33 .*found {number}"):
        metric.compute()
    modified = ModifiedPanopticQuality(CATEGORIES)
    modified.overlap_sums[0, 2] = number
    with pytest.raises(ValueError, match="their sum is not exact"):
        modified.compute()
    modified.reset()
    modified.overlap_sums[0, 1] = -1  # what has wrapped
    with pytest.raises(ValueError, match="their sum is not exact"):
        modified.compute()


def test_the_limbs_carry():
    """Many lower limbs make more than one upper one."""
    assert iou_of_limbs(0, 5 << 60, 10) == 5.0
    assert iou_of_limbs(1 << 30, (1 << 60) + 1, 2) == float(2 + Fraction(1, 1 << 60))


def test_qualities_of_large_counts_are_within_two_roundings():
    for tp, fp, fn in ((1 << 32, (1 << 53) + 1, 3), ((1 << 32) + 1, 1, (1 << 54) + 3)):
        pq, sq, rq = ClassCounts(0.75 * tp, tp, fp, fn).qualities()
        weight = tp + Fraction(fp + fn, 2)
        for found, expected in ((pq, Fraction(3, 4) * tp / weight), (rq, tp / weight)):
            assert abs(Fraction(found) / expected - 1) < Fraction(3, 1 << 53)
        assert sq == 0.75


def test_the_largest_areas_of_one_image_do_not_wrap():
    """Segments of 2**30 - 1 pixels, the most of an image: 32 bits hold sums of two."""
    area = (1 << 30) - 1
    pairs = pairs_of_table(torch.tensor([[[0, 0], [0, area]]], dtype=torch.int32))
    classes = torch.tensor([[-1, 0]])
    matches = match_segments(pairs, classes, classes, torch.zeros(1, 2, dtype=torch.bool))
    assert matches.iou[0, 1] == 1.0 and matches.gt_area[0, 1] == area


def test_pixels_of_one_class_beyond_2_to_the_31_in_one_update():
    """Four images whose one segment has 2**30 - 1 pixels."""
    area, ids = (1 << 30) - 1, torch.ones(4, 1, 1, dtype=torch.uint8)
    rows = torch.full((4, 1), CATEGORIES[0]["id"])
    pred = PanopticSegmentation(ids, rows, *[rows] * 4, rows[:, 0])
    comparison = PanopticQuality(CATEGORIES).compare(
        pred, PanopticTarget(ids, rows, rows < 0, rows[:, 0])
    )
    metric = MeanIoU(CATEGORIES)
    pairs = comparison.pairs
    metric.add(comparison._replace(pairs=pairs._replace(pixels=pairs.pixels * area)))
    assert metric.compute().per_class[CATEGORIES[0]["id"]]["tp"] == 4 * area


def test_unknown_pixels_and_faults_beyond_2_to_the_31():
    metric = doubled("PartIoU", 0)
    metric.unknown_pixels += (1 << 53) + 1
    assert metric.compute().unknown_pixels == (1 << 53) + 1
    metric.faults[0] += (1 << 53) + 1
    with pytest.raises(ValueError, match=f"had {(1 << 53) + 1} pixels of target"):
        metric.compute()


def test_means_are_rounded_once():
    """Python 3.12 and later round `sum` otherwise than 3.11, and the order of classes matters."""
    tenths = [ClassCounts(0.1, 1, 0, 0)] * 10
    assert mean_qualities(tenths) == (0.1, 0.1, 1.0, 10)
    assert mean_of_present((0.1, True) for _ in range(10)) == (0.1, 10)

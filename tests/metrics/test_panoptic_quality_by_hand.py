"""PQ by hand: 10 x 10 scenes, every count and fraction can be redone by counting letters.

F1 to F8 are the points where implementations of PQ part ways; the expected values are
panopticapi's. A row stands for ten equal rows, so a letter counts ten pixels.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from pps_torch import PanopticQuality
from tests.metrics.drawings import (
    CATEGORIES,
    LEGEND,
    OTHER_THING,
    THING,
    expect,
    prediction,
    target,
)


def score(*, gt, pred, crowds=""):
    rows = [row if isinstance(row, tuple) else (row,) for row in (pred, gt)]
    metric = PanopticQuality(CATEGORIES)
    metric.update(prediction(LEGEND, *rows[0]), target(LEGEND, *rows[1], crowds=crowds))
    return metric.compute()


def test_f1_a_thing_predicted_void_is_missed():
    # torchmetrics counts nothing for it and reports a mean PQ of 1.
    result = score(gt="ttttssssss", pred="....ssssss")
    expect(result, thing=(0, 0, 0, 1), stuff=(1, 1, 0, 0))
    assert result.summary["All"] == {"PQ": 0.5, "SQ": 0.5, "RQ": 0.5, "n": 2}


def test_f2_predicted_void_stays_in_the_union():
    # 20 of 50 pixels: IoU 2/5. torchmetrics takes the void away and finds IoU 1.
    result = score(gt="tttttsssss", pred="tt...sssss")
    expect(result, thing=(0, 0, 1, 1), stuff=(1, 1, 0, 0))


def test_f3_a_prediction_on_void_is_ignored():
    result = score(gt="....ssssss", pred="ttttssssss")
    expect(result, stuff=(1, 1, 0, 0))


def test_f4_a_prediction_on_a_crowd_of_its_class_is_ignored():
    result = score(gt="ttttssssss", pred="ttttssssss", crowds="t")
    expect(result, stuff=(1, 1, 0, 0))


def test_f5_a_prediction_on_a_crowd_of_another_class_is_a_false_positive():
    # deeplab2 turns crowds into void for every class and ignores it.
    result = score(gt="oooossssss", pred="ttttssssss", crowds="o")
    expect(result, thing=(0, 0, 1, 0), stuff=(1, 1, 0, 0))


def test_f6_a_crowd_stays_in_the_union():
    # 40 pixels in common, 60 predicted: 2/3. deeplab2 finds IoU 1.
    result = score(gt="ttttuussss", pred="ttttttssss", crowds="u")
    expect(result, thing=(Fraction(2, 3), 1, 0, 0), stuff=(1, 1, 0, 0))


def test_f7_a_second_segment_of_stuff_is_a_false_positive():
    # torchmetrics merges stuff segments and finds IoU 1.
    result = score(gt="ssssssssss", pred="ssssssszzz")
    expect(result, stuff=(Fraction(7, 10), 1, 1, 0))


def test_f8_an_iou_of_exactly_one_half_is_no_match():
    # 40 pixels in common, 80 in the union. panoptica matches it.
    result = score(gt="ttttttssss", pred="sstttttttt")
    expect(result, thing=(0, 0, 1, 1), stuff=(0, 0, 1, 1))


# More rules of the same kind


def test_an_iou_just_above_one_half_matches():
    # One row of ten has one more pixel in common: 41 of 79.
    result = score(gt=("tttttt....",) * 10, pred=("..tttttttt",) * 9 + (".ttttttt..",))
    # The prediction's pixels on void leave the union: 36 + 5 of 60.
    expect(result, thing=(Fraction(41, 60), 1, 0, 0))


def test_the_predictions_overlap_with_void_leaves_the_union():
    # 40 in common; 60 predicted, 20 of them on void: 40 / 40.
    expect(score(gt="tttt..ssss", pred="ttttttssss"), thing=(1, 1, 0, 0), stuff=(1, 1, 0, 0))


@pytest.mark.parametrize("gt, fp", [(".....sssss", 1), ("......ssss", 0)])
def test_a_prediction_half_on_void_is_a_false_positive_more_than_half_is_not(gt, fp):
    result = score(gt=gt, pred="tttttttttt")
    expect(result, thing=(0, 0, fp, 0), stuff=(0, 0, 0, 1))


def test_void_and_crowd_add_up():
    # 30 on void and 30 on crowd of 100 excuse the prediction, neither does alone.
    result = score(gt="...tttssss", pred="uuuuuuuuuu", crowds="t")
    expect(result, stuff=(0, 0, 0, 1))


def test_only_the_last_crowd_of_a_class_absorbs():
    # Two crowds of 40 pixels each; the prediction lies on 60 pixels of them, 40 on the last.
    gt, crowds = "ttttuuuuss", "tu"
    expect(score(gt=gt, pred="..vvvvvv..", crowds=crowds), stuff=(0, 0, 0, 1))
    # 40 on the first, 20 on the last: 20 / 60 is not more than half.
    result = score(gt=gt, pred="vvvvvv....", crowds=crowds)
    expect(result, thing=(0, 0, 1, 0), stuff=(0, 0, 0, 1))


def test_a_crowd_never_matches_and_is_never_missed():
    expect(score(gt="tttttttttt", pred="..........", crowds="t"))


def test_the_same_shape_in_another_class_is_no_match():
    expect(score(gt="tttttttttt", pred="oooooooooo"), thing=(0, 0, 0, 1), other=(0, 0, 1, 0))


def test_instances_of_a_class_match_one_to_one():
    result = score(gt="tttttuuuuu", pred="uuuuuutttt")
    expect(result, thing=(Fraction(5, 6) + Fraction(4, 5), 2, 0, 0))


def test_the_ground_truth_area_is_counted_in_the_map():
    # panopticapi believes the JSON: an area of 1 there gives an IoU of 40 for this thing.
    result = score(gt="ttttssssss", pred="ttttssssss")
    assert result.per_class[THING]["iou"] == 1.0


def test_an_empty_group_is_nan_with_n_0():
    # panopticapi stops with a ZeroDivisionError when things, stuff or both are absent.
    result = score(gt="ssssssssss", pred="ssssssssss")
    assert result.summary["Stuff"] == {"PQ": 1.0, "SQ": 1.0, "RQ": 1.0, "n": 1}
    assert result.summary["Things"]["n"] == 0
    assert all(math.isnan(result.summary["Things"][key]) for key in ("PQ", "SQ", "RQ"))
    assert result.as_dict()["summary"]["Things"] == {"PQ": None, "SQ": None, "RQ": None, "n": 0}


def test_nothing_at_all_is_nan_everywhere():
    result = PanopticQuality(CATEGORIES).compute()
    assert all(math.isnan(group["PQ"]) and group["n"] == 0 for group in result.summary.values())


def test_the_mean_is_over_classes_that_occur():
    # thing: missed, PQ 0; stuff: IoU 60 / 100, PQ 6/10; the third class is absent.
    result = score(gt="ttttssssss", pred="ssssssssss")
    expect(result, thing=(0, 0, 0, 1), stuff=(Fraction(6, 10), 1, 0, 0))
    assert result.summary["All"]["PQ"] == pytest.approx(3 / 10, abs=1e-12)
    assert result.summary["All"]["n"] == 2
    absent = result.per_class[OTHER_THING]
    assert (absent["PQ"], absent["SQ"], absent["RQ"]) == (0.0, 0.0, 0.0)


def test_pq_is_sq_times_rq_and_counts_half_of_each_error():
    # tp 1 (IoU 2/3), fp 1, fn 1: PQ = (2/3) / 2, SQ = 2/3, RQ = 1/2
    result = score(gt="ttttuuuuss", pred="ttttttvvss")
    expect(result, thing=(Fraction(2, 3), 1, 1, 1), stuff=(1, 1, 0, 0))
    thing = result.per_class[THING]
    assert thing["PQ"] == pytest.approx(1 / 3, abs=1e-12)
    assert thing["SQ"] == pytest.approx(2 / 3, abs=1e-12) and thing["RQ"] == 0.5


def test_the_table_shows_per_cent_of_the_classes_that_occur():
    table = score(gt="ttttssssss", pred="ssssssssss").table()
    assert "30.0" in table and "60.0" in table and "n/a" not in table.split("\n\n")[1]
    assert "other thing" not in table

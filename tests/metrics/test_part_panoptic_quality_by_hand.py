"""PartPQ by hand: 10 x 10 scenes of Cityscapes Panoptic Parts, every fraction can be redone.

A row stands for ten equal rows, so a letter counts ten pixels. Cars (26) have parts 1 to 5, roads
(7) have none. The expected values are panoptic_parts' where no comment says otherwise.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from pps_torch import EvalSpec, PartPanopticQuality
from tests.factories import remapped_spec
from tests.metrics.drawings import pps, uids

ROAD, CAR = 7, 26
CPP = EvalSpec.load("cpp_default")

GT = {
    "r": ROAD,
    "c": 26,  # a car without instance id
    "a": 26_001_01, "b": 26_001_02, "n": 26_001, "0": 26_001_00,
    "d": 26_002_01, "e": 26_002_02, "m": 26_002,
    "A": 26_000_01,
    "f": 4,  # an ignored class
}  # fmt: skip
PRED = {
    "r": (ROAD, 1, 1), "q": (ROAD, 2, 1),
    "a": (CAR, 1, 1), "b": (CAR, 1, 2), "0": (CAR, 1, 0), "x": (CAR, 1, 255), "y": (CAR, 1, 200),
    "d": (CAR, 2, 1), "e": (CAR, 2, 2),
    "A": (CAR, 0, 1),
    "u": (98, 1, 1),  # no class of the spec
}  # fmt: skip


def score(*, gt, pred, spec=CPP, gt_legend=GT, pred_legend=PRED):
    metric = PartPanopticQuality(spec)
    return metric.update(pps(pred_legend, pred), uids(gt_legend, gt)).compute()


def expect(result, sids=(("car", CAR), ("road", ROAD)), **expected):
    """car=(iou, tp, fp, fn) for each class; a class that is not named has nothing."""
    for name, sid in sids:
        iou, *counts = expected.get(name, (0, 0, 0, 0))
        found = result.per_class[sid]
        assert [found["tp"], found["fp"], found["fn"]] == counts, name
        assert found["iou"] == pytest.approx(float(iou), abs=1e-12), name


# The part IoU of a match


def test_all_parts_right_is_1():
    expect(score(gt="aabbrrrrrr", pred="aabbrrrrrr"), car=(1, 1, 0, 0), road=(1, 1, 0, 0))


def test_swapped_parts_score_a_third_because_background_counts():
    # background 60 / 60, part 1 0 / 40, part 2 0 / 40
    expect(
        score(gt="aabbrrrrrr", pred="bbaarrrrrr"), car=(Fraction(1, 3), 1, 0, 0), road=(1, 1, 0, 0)
    )


def test_background_is_no_label_where_the_car_fills_the_image():
    # part 1 40 / 50, part 2 50 / 60
    result = score(gt="aaaaabbbbb", pred="aaaabbbbbb")
    expect(result, car=((Fraction(4, 5) + Fraction(5, 6)) / 2, 1, 0, 0))


def test_an_unknown_part_is_no_label_but_its_pixels_are_missing_elsewhere():
    # background 60 / 60, part 1 10 / 20, part 2 20 / 20
    result = score(gt="aabbrrrrrr", pred="axbbrrrrrr")
    expect(result, car=((1 + Fraction(1, 2) + 1) / 3, 1, 0, 0), road=(1, 1, 0, 0))


def test_unknown_parts_everywhere_leave_the_labels_of_the_ground_truth():
    # background 60 / 60, part 1 0 / 20, part 2 0 / 20
    result = score(gt="aabbrrrrrr", pred="xxxxrrrrrr")
    expect(result, car=(Fraction(1, 3), 1, 0, 0), road=(1, 1, 0, 0))


def test_a_predicted_part_0_is_background():
    # background 60 / 70, part 1 10 / 20, part 2 20 / 20
    result = score(gt="aabbrrrrrr", pred="a0bbrrrrrr")
    expect(result, car=((Fraction(6, 7) + Fraction(1, 2) + 1) / 3, 1, 0, 0), road=(1, 1, 0, 0))


def test_a_part_that_the_class_cannot_have_is_a_label_too():
    # background 60 / 60, part 1 10 / 20, part 2 20 / 20, part 200 0 / 10
    result = score(gt="aabbrrrrrr", pred="aybbrrrrrr")
    expect(result, car=((1 + Fraction(1, 2) + 1 + 0) / 4, 1, 0, 0), road=(1, 1, 0, 0))


@pytest.mark.parametrize("undefined", ["n", "0"])
@pytest.mark.parametrize("predicted", ["a", "b", "x", "r"])
def test_pixels_of_undefined_part_are_not_evaluated(undefined, predicted):
    # Whatever the prediction has there: background 60 / 60, part 1 20 / 20, part 2 10 / 10.
    result = score(gt=f"aa{undefined}brrrrrr", pred=f"aa{predicted}brrrrrr")
    found = result.per_class[CAR]
    assert (found["iou"], found["tp"]) == (1.0, 1)


def test_void_and_crowd_are_not_evaluated_but_another_car_is():
    # Matched part pixels on void and on the crowd: not looked at.
    result = score(gt="aabb.crrrr", pred="aabbaarrrr")
    expect(result, car=(1, 1, 0, 0), road=(1, 1, 0, 0))
    # On the other car: background 40 / 50, part 1 20 / 30, part 2 20 / 20; the other is missed.
    result = score(gt="aabbdrrrrr", pred="aabbarrrrr")
    iou = (Fraction(5, 6) + Fraction(2, 3) + 1) / 3
    expect(result, car=(iou, 1, 0, 1), road=(1, 1, 0, 0))


def test_classes_without_parts_score_the_mask_iou():
    result = score(gt="rrrrrrrraa", pred="rrrrrrraaa")
    assert result.per_class[ROAD]["iou"] == pytest.approx(7 / 8, abs=1e-12)


# What is matched, missed, ignored


def test_parts_do_not_decide_the_match():
    # Mask IoU 40 / 60; background 40 / 60, part 1 40 / 40, part 2 0 / 20
    result = score(gt="aaaarrrrrr", pred="aaaabbrrrr")
    iou = (Fraction(4, 6) + 1 + 0) / 3
    expect(result, car=(iou, 1, 0, 0), road=(Fraction(4, 6), 1, 0, 0))


def test_an_iou_of_exactly_one_half_is_no_match():
    result = score(gt="aaaaffffff", pred="aa..rrrrrr")
    expect(result, car=(0, 0, 1, 1))


def test_the_predictions_overlap_with_an_ignored_class_leaves_the_union():
    # 20 in common; 50 predicted, 30 of them ignored: mask IoU 1
    expect(score(gt="aafffrrrrr", pred="aaaaarrrrr"), car=(1, 1, 0, 0), road=(1, 1, 0, 0))


def test_a_car_without_instance_id_is_crowd():
    expect(score(gt="ccccrrrrrr", pred="aabbrrrrrr"), road=(1, 1, 0, 0))
    expect(score(gt="ccccrrrrrr", pred="....rrrrrr"), road=(1, 1, 0, 0))


def test_instance_id_0_is_an_instance():
    expect(score(gt="AAAArrrrrr", pred="....rrrrrr"), car=(0, 0, 0, 1), road=(1, 1, 0, 0))
    expect(score(gt="AAAArrrrrr", pred="aaaarrrrrr"), car=(1, 1, 0, 0), road=(1, 1, 0, 0))
    expect(score(gt="aaaarrrrrr", pred="AAAArrrrrr"), car=(1, 1, 0, 0), road=(1, 1, 0, 0))


def test_crowd_pixels_are_no_part_of_instance_0():
    # The match is 40 of 60, and the 20 pixels of crowd are not evaluated.
    expect(score(gt="AAAAccrrrr", pred="aaaaaarrrr"), car=(1, 1, 0, 0), road=(1, 1, 0, 0))
    expect(
        score(gt="AAAAccrrrr", pred="aaaarrrrrr"), car=(1, 1, 0, 0), road=(Fraction(4, 6), 1, 0, 0)
    )


@pytest.mark.parametrize("no_part", ["n", "0"])
def test_a_segment_without_parts_is_crowd(no_part):
    result = score(gt=f"{no_part * 4}rrrrrr", pred="....rrrrrr")
    expect(result, road=(1, 1, 0, 0))
    result = score(gt=f"{no_part * 4}rrrrrr", pred="aabbrrrrrr")
    expect(result, road=(1, 1, 0, 0))


@pytest.mark.parametrize("gt, fp", [("ccrrrrrrrr", 1), ("cccrrrrrrr", 0), ("cc.rrrrrrr", 0)])
def test_a_car_half_on_crowd_and_void_is_a_false_positive_more_than_half_is_not(gt, fp):
    result = score(gt=gt, pred="aabb" + gt[4:])
    assert [result.per_class[CAR][key] for key in ("tp", "fp", "fn")] == [0, fp, 0]


def test_all_crowds_of_a_class_absorb_together():
    # PQ lets only the last one absorb; here 20 pixels without instance and 20 without parts do.
    result = score(gt="ccmmrrrrrr", pred="aabbaarrrr")
    expect(result, road=(Fraction(4, 6), 1, 0, 0))


def test_road_in_two_predicted_instances_is_a_match_and_a_false_positive():
    expect(score(gt="rrrrrrrrrr", pred="rrrrrrqqqq"), road=(Fraction(6, 10), 1, 1, 0))


def test_road_in_two_ground_truth_instances_is_a_match_and_a_miss():
    gt_legend = {"r": 7_001, "q": 7_002}
    result = score(gt="rrrrrrqqqq", pred="rrrrrrrrrr", gt_legend=gt_legend)
    expect(result, road=(Fraction(6, 10), 1, 0, 1))


def test_stuff_without_instance_id_is_instance_0():
    gt_legend = {"r": 7, "q": 7_000}
    result = score(gt="rrrrrrqqqq", pred="rrrrrrrrrr", gt_legend=gt_legend)
    expect(result, road=(1, 1, 0, 0))


def test_a_predicted_class_that_the_spec_does_not_know_is_void():
    expect(score(gt="aabbrrrrrr", pred="uuuurrrrrr"), car=(0, 0, 0, 1), road=(1, 1, 0, 0))
    expect(score(gt="aabbrrrrrr", pred="....rrrrrr"), car=(0, 0, 0, 1), road=(1, 1, 0, 0))


# Specs that rename


def test_every_all_crowd_segment_is_left_out():
    # sedan and van are one class of this spec; both have crowd pixels only. panoptic_parts leaves
    # out the first all-crowd segment of a class and counts a further one as missed.
    spec, legend = remapped_spec(), {"s": 1, "v": 2, "g": 5}
    result = score(gt="ssssvvvvgg", pred="........gg", spec=spec, gt_legend=legend,
                   pred_legend={"g": (40, 1, 1)})  # fmt: skip
    expect(result, sids=(("vehicle", 20), ("ground", 40)), ground=(1, 1, 0, 0))


def test_equal_instance_ids_of_two_dataset_classes_are_two_things_but_one_stuff():
    spec, legend = remapped_spec(), {"c": 3_001, "d": 4_001, "l": 5, "r": 6}
    result = score(gt="cccddllrrr", pred="cccddlllll", spec=spec, gt_legend=legend,
                   pred_legend={"c": (31, 1, 1), "d": (31, 2, 1), "l": (40, 1, 1)})  # fmt: skip
    expect(result, sids=(("animal", 31), ("ground", 40)), animal=(2, 2, 0, 0), ground=(1, 1, 0, 0))


def test_file_pids_fold_and_map_before_they_are_compared():
    # van: file pids 4 and 5 are wheels (part 2 of the evaluation), 1 is a door (1), 6 a roof that
    # the spec ignores: undefined. Labels 0, 1 and 2 are all right.
    legend = {"4": 2_001_04, "5": 2_001_05, "1": 2_001_01, "6": 2_001_06, "g": 5}
    prediction = {"1": (20, 1, 1), "2": (20, 1, 2), "g": (40, 1, 1)}
    result = score(gt="44551666gg", pred="22221212gg", spec=remapped_spec(), gt_legend=legend,
                   pred_legend=prediction)  # fmt: skip
    expect(result, sids=(("vehicle", 20),), vehicle=(1, 1, 0, 0))


def test_explicit_part_0_works_for_pascal():
    # An aeroplane (1) with body (1) and pixels of part 0: undefined. panoptic_parts stops on it.
    legend, prediction = {"b": 1_001_01, "0": 1_001_00}, {"b": (1, 1, 1), "w": (1, 1, 3)}
    result = score(gt="bbbbb00...", pred="bbbbbww...", spec=EvalSpec.load("ppp_default"),
                   gt_legend=legend, pred_legend=prediction)  # fmt: skip
    expect(result, sids=(("aeroplane", 1),), aeroplane=(1, 1, 0, 0))


def test_rows_carry_the_name_of_their_id_in_pascal():
    # panoptic_parts prints class names in spec order beside results in the order of the ids: 26 of
    # the 59 rows are shifted (curtain is 43 and comes after mouse, 63).
    spec = EvalSpec.load("ppp_default")
    result = score(gt="cccccccccc", pred="cccccccccc", spec=spec, gt_legend={"c": 43},
                   pred_legend={"c": (43, 1, 1)})  # fmt: skip
    assert spec.scene_labels[43] == "curtain"
    assert {k: v["name"] for k, v in result.per_class.items()} == spec.scene_labels
    assert [v["name"] for v in result.per_class.values() if v["tp"]] == ["curtain"]


# Averages


def test_groups_are_means_over_the_classes_that_occur():
    # car 1/3, road 1 -> 2/3; the group of classes without parts is the road alone
    summary = score(gt="aabbrrrrrr", pred="bbaarrrrrr").summary
    assert summary["PartPQ"] == pytest.approx(2 / 3, abs=1e-12) and summary["n"] == 2
    assert summary["PartPQ_parts"] == pytest.approx(1 / 3, abs=1e-12) and summary["n_p"] == 1
    assert summary["PartPQ_noparts"] == 1.0 and summary["n_np"] == 1


def test_an_empty_group_is_nan_with_n_0():
    # panoptic_parts stops with a ZeroDivisionError.
    result = score(gt="rrrrrrrrrr", pred="rrrrrrrrrr")
    assert result.summary["n_p"] == 0 and math.isnan(result.summary["PartPQ_parts"])
    assert result.summary["PartPQ"] == 1.0
    assert result.as_dict()["summary"]["PartPQ_parts"] is None
    assert "n/a" in result.table()


def test_scene_ids_that_the_data_set_does_not_have_are_void_and_counted():
    metric = PartPanopticQuality(CPP)
    gt = torch.tensor([[7, 7, 99, 99_001_02], [7, 7, 0, 98_001]])
    pred = torch.stack([torch.tensor([[7, 7, 7, 8], [7, 7, 0, 255]]), *torch.zeros(2, 2, 4).int()])
    result = metric.update(pred, gt).compute()
    assert result.unknown_gt_pixels == 3 and result.unknown_pixels == 0
    assert "3 ground-truth pixels have an unknown scene id" in result.table()
    assert result.per_class[7]["PartPQ"] == 1.0 and result.per_class[8]["fp"] == 0
    known = PartPanopticQuality(CPP).update(pred, torch.full_like(gt, 7)).compute()
    assert known.unknown_gt_pixels == 0 and "unknown" not in known.table()


def test_more_than_255_instances_are_counted():
    # panoptic_parts' merge stops at 255 instances of a class, as they would not fit its PNG.
    instance = torch.arange(1, 301).reshape(10, 30)
    sids = torch.full_like(instance, 33)  # bicycle, a thing without parts
    result = PartPanopticQuality(CPP)
    result.update(torch.stack([sids, instance, torch.ones_like(sids)]), 33_000 + instance)
    assert result.compute().per_class[33]["tp"] == 300


def test_predicted_classes_that_the_spec_does_not_know_are_void_and_counted():
    result = score(gt="rrrrraabbb", pred="rrrrruuuuu")
    expect(result, road=(1, 1, 0, 0), car=(0, 0, 0, 1))
    assert result.unknown_pixels == result.as_dict()["unknown_pixels"] == 50
    assert "50 predicted pixels have an unknown scene id" in result.table()
    assert score(gt="rrrrraabbb", pred="rrrrraabbb").unknown_pixels == 0

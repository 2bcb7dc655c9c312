"""F1 to F8, column by column: what PQ is by the rules of each implementation.

The scenes are those of `test_panoptic_quality_by_hand.py`, where a letter counts ten pixels.
Numbers of torchmetrics 1.9 and deeplab2 were found by running their code on these scenes.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from pps_torch import PanopticQuality, PanopticRules, PanopticSegmentation, PanopticTarget
from pps_torch.metrics.panoptic_rules import RULES
from tests.factories import CATEGORIES, SIZES, panoptic_pair
from tests.metrics.drawings import CATEGORIES as SCENE_CATEGORIES
from tests.metrics.drawings import LEGEND, draw, expect, prediction, segments, target
from tests.metrics.scenes import as_tensors, category_instance, halves, pair_with_voids
from tests.oracles import panoptic_rules as oracle
from tests.oracles.panoptic_quality import panoptic_quality

STUFF = {c["id"] for c in CATEGORIES if not c["isthing"]}

#: (ground truth, prediction, crowds)
SCENES = {
    "F1": ("ttttssssss", "....ssssss", ""),
    "F2": ("tttttsssss", "tt...sssss", ""),
    "F3": ("....ssssss", "ttttssssss", ""),
    "F4": ("ttttssssss", "ttttssssss", "t"),
    "F5": ("oooossssss", "ttttssssss", "o"),
    "F6": ("ttttuussss", "ttttttssss", "u"),
    "F7": ("ssssssssss", "ssssssszzz", ""),
    "F8": ("ttttttssss", "sstttttttt", ""),
}
PERFECT = {"stuff": (1, 1, 0, 0)}
OFFICIAL = {
    "F1": {"thing": (0, 0, 0, 1), **PERFECT},
    "F2": {"thing": (0, 0, 1, 1), **PERFECT},
    "F3": PERFECT,
    "F4": PERFECT,
    "F5": {"thing": (0, 0, 1, 0), **PERFECT},
    "F6": {"thing": (Fraction(2, 3), 1, 0, 0), **PERFECT},
    "F7": {"stuff": (Fraction(7, 10), 1, 1, 0)},
    "F8": {"thing": (0, 0, 1, 1), "stuff": (0, 0, 1, 1)},
}
COLUMNS = {
    "coco": OFFICIAL,
    "cityscapes": OFFICIAL,
    "panopticapi": OFFICIAL,
    "panoptic_parts": OFFICIAL,
    "torchmetrics": {
        **OFFICIAL,
        "F1": PERFECT,
        "F2": {"thing": (1, 1, 0, 0), **PERFECT},
        "F4": {"thing": (1, 1, 0, 0), **PERFECT},
        "F5": {"thing": (0, 0, 1, 0), "other": (0, 0, 0, 1), **PERFECT},
        "F6": {"thing": (Fraction(2, 3), 1, 0, 1), **PERFECT},
        "F7": PERFECT,
    },
    "deeplab2": {**OFFICIAL, "F5": PERFECT, "F6": {"thing": (1, 1, 0, 0), **PERFECT}},
    "deeplab2_labels": {**OFFICIAL, "F4": {"thing": (0, 0, 1, 0), **PERFECT}},
}
SLOW = {
    "coco": panoptic_quality,
    "cityscapes": panoptic_quality,
    "panopticapi": panoptic_quality,
    "panoptic_parts": oracle.panoptic_parts,
    "torchmetrics": lambda *pair: oracle.torchmetrics(*pair, STUFF),
    "deeplab2": oracle.deeplab2,
    "deeplab2_labels": oracle.deeplab2_labels_of_segments,
}


def score(rules, gt: str, pred: str, crowds: str = ""):
    metric = PanopticQuality(SCENE_CATEGORIES, rules=rules)
    return metric.update(prediction(LEGEND, pred), target(LEGEND, gt, crowds=crowds)).compute()


@pytest.mark.parametrize("fixture", SCENES)
@pytest.mark.parametrize("rules", COLUMNS)
def test_fixture(rules, fixture):
    result = score(rules, *SCENES[fixture])
    expect(result, **COLUMNS[rules][fixture])
    if (rules, fixture) in (("coco", "F1"), ("torchmetrics", "F1")):
        assert result.summary["All"]["PQ"] == (0.5 if rules == "coco" else 1.0)


def test_every_rule_has_a_column_and_an_oracle():
    assert set(COLUMNS) == set(RULES) == set(SLOW)


@pytest.mark.parametrize(
    "rules, fp", [("coco", 1), ("panoptic_parts", 0), ("deeplab2", 0), ("deeplab2_labels", 1)]
)
def test_two_crowds_of_a_class(rules, fp):
    # 40 pixels on the first crowd, 20 on the last.
    result = score(rules, "ttttuuuuss", "vvvvvv....", "tu")
    expect(result, thing=(0, 0, fp, 0), stuff=(0, 0, 0, 1))


def test_stuff_merges_in_both_maps():
    result = score("torchmetrics", "ssssszzzzz", "zzsssssszz")
    expect(result, stuff=(1, 1, 0, 0))
    expect(score("coco", "ssssszzzzz", "zzsssssszz"), stuff=(0, 0, 2, 2))


@pytest.mark.parametrize("pred, fn", [("ttttt.....", 0), ("oooo......", 0), ("ooooo.....", 1)])
def test_a_segment_predicted_void_by_more_than_half_is_forgiven(pred, fn):
    result = score("torchmetrics", "tttttttttt", pred)
    assert result.per_class[1]["fn"] == fn


@pytest.mark.parametrize("rules", RULES)
def test_random_scenes_as_the_oracle(rules, device):
    rng = np.random.default_rng(list(rules.encode()))
    for size in SIZES * 4:
        pair = pair_with_voids(rng, size)
        metric = PanopticQuality(CATEGORIES, rules=rules).to(device)
        pred, gt = (type(v)(*(f.to(device) for f in v)) for v in as_tensors(pair))
        result, expected = metric.update(pred, gt).compute(), SLOW[rules](*pair)
        for category, row in result.per_class.items():
            iou, *counts = expected.get(category, [0.0, 0, 0, 0])
            assert [row["tp"], row["fp"], row["fn"]] == counts
            assert row["iou"] == pytest.approx(iou, abs=1e-12)


@pytest.mark.slow
def test_random_scenes_as_torchmetrics():
    pytest.importorskip("torchmetrics", "1.5", reason="torchmetrics 1.4 counts otherwise")
    from torchmetrics import detection

    rng, things = np.random.default_rng(0), {c["id"] for c in CATEGORIES} - STUFF
    options = {"things": things, "stuffs": STUFF, "allow_unknown_preds_category": True}
    ours = PanopticQuality(CATEGORIES, rules="torchmetrics")
    theirs = detection.PanopticQuality(**options, return_sq_and_rq=True)
    for size in SIZES * 5:
        pair = pair_with_voids(rng, size)
        ours.update(*as_tensors(pair))
        theirs.update(*(torch.from_numpy(category_instance(*half)) for half in halves(pair)))
    rows = [ours.compute().per_class[c] for c in (*sorted(things), *sorted(STUFF))]
    counts = theirs.true_positives, theirs.false_positives, theirs.false_negatives
    for key, expected in zip(("tp", "fp", "fn"), counts):
        assert [row[key] for row in rows] == expected.tolist()
    found = [ours.compute().summary["All"][key] for key in ("PQ", "SQ", "RQ")]
    assert found == pytest.approx(theirs.compute().tolist(), abs=1e-6)


def count_labels(gt_labels, pred_labels, classes, ignored: int, divisor: int):
    """PQ of maps of category * divisor + instance, as deeplab2 has them."""
    categories = [{"id": c, "name": str(c), "isthing": 1} for c in classes]
    options = {"encoding": "category_major", "divisor": divisor}
    target = PanopticTarget.from_labels(gt_labels, categories, ignored_id=ignored, **options)
    pred = PanopticSegmentation.from_labels(pred_labels, categories, void_ids=[ignored], **options)
    return PanopticQuality(categories, rules="deeplab2_labels").update(pred, target).compute()


def test_an_instance_of_the_class_that_deeplab2_ignores():
    """Its third own test: (9, 0) is void, (9, 2) stays in the union and excuses nothing."""
    gt = torch.tensor([[0, 9, 9], [1, 2, 2], [1, 9, 9]]) * 256
    gt += torch.tensor([[0, 2, 2], [1, 0, 0], [1, 0, 0]])
    pred = torch.tensor([[0, 0, 9], [1, 1, 1], [1, 9, 9]]) * 256
    pred += torch.tensor([[0, 0, 0], [0, 1, 1], [0, 1, 1]])
    result = count_labels(gt, pred, (0, 1, 2), ignored=9, divisor=256)
    counts = {number: (c.iou_sum, c.tp, c.fp, c.fn) for number, c in result.classes.items()}
    # 0: 1 of 2 pixels, so no match; 1: one instance of two, and one where class 2 is missed.
    assert counts == {0: (0, 0, 1, 1), 1: (1, 1, 1, 0), 2: (0, 0, 0, 1)}
    assert result.all.pq == pytest.approx(2 / 9)


def test_random_label_maps_as_the_oracle():
    rng = np.random.default_rng(5)
    for _ in range(60):
        category, ignored, divisor = rng.integers(4, size=(2, 6, 8)), 3, 16
        gt, pred = category * divisor + rng.integers(2, size=category.shape)
        pred = np.where(rng.random(pred.shape) < 0.6, gt, pred)
        result = count_labels(*map(torch.from_numpy, (gt, pred)), (0, 1, 2), ignored, divisor)
        expected = oracle.deeplab2_labels(pred, gt, ignored, divisor)
        for category_id, row in result.classes.items():
            iou, *counts = expected.get(category_id, [0.0, 0, 0, 0])
            assert [row.tp, row.fp, row.fn] == counts
            assert row.iou_sum == pytest.approx(iou, abs=1e-12)


def test_a_crowd_of_no_class_is_listed_if_its_category_is_evaluated():
    metric = PanopticQuality(SCENE_CATEGORIES, rules="deeplab2_labels")
    (image,) = metric.record_segments(prediction(LEGEND, "tt"), target(LEGEND, "tt", crowds="t"))
    assert [(s.class_id, s.verdict) for s in image.segments] == [(1, "crowd"), (1, "fp")]


def test_only_crowds_may_have_a_category_that_is_not_evaluated():
    pred, gt = prediction(LEGEND, "ts"), target(LEGEND, "us", crowds="u")
    unknown = gt._replace(category_ids=torch.where(gt.is_crowd, 77, gt.category_ids))
    PanopticQuality(SCENE_CATEGORIES, rules="deeplab2_labels", validate=True).update(pred, unknown)
    for rules, target_ in (
        ("coco", unknown),
        ("deeplab2_labels", unknown._replace(is_crowd=torch.zeros_like(gt.is_crowd))),
    ):
        with pytest.raises(ValueError, match="segments of target of an unknown category"):
            metric = PanopticQuality(SCENE_CATEGORIES, rules=rules, validate=True)
            metric.update(pred, target_)


def misfit(*rows: str, listed: str, crowds: str = "", capacity: int | None = None):
    """A ground truth whose list has other segments than its map."""
    info = [
        {"id": ord(letter), "category_id": LEGEND[letter], "iscrowd": int(letter in crowds)}
        for letter in listed
    ]
    options = {"void_id": ord("."), "allow_misfits": True, "capacity": capacity}
    return PanopticTarget.from_segments(draw(*rows), info, **options)


@pytest.mark.parametrize(
    "gt, listed, crowds, thing",
    [
        ("tttttsssss", "tus", "", (Fraction(5, 6), 1, 0, 1)),  # a listed thing without pixels
        ("tttttsssss", "ts", "", (Fraction(5, 6), 1, 0, 0)),
        ("tttttussss", "ts", "", (Fraction(5, 6), 1, 0, 0)),  # what is not listed is in the union,
        ("ttttt.ssss", "ts", "", (1, 1, 0, 0)),  # and void is not
        ("uuuuuussss", "s", "", (0, 0, 1, 0)),  # and excuses nothing
        ("uuuuuussss", "us", "u", (0, 0, 0, 0)),
        ("uuuuuussss", "uts", "ut", (0, 0, 1, 0)),  # the last crowd has no pixels
    ],
)
@pytest.mark.parametrize("capacity", [None, 6])
def test_lists_that_do_not_fit_their_map(gt, listed, crowds, thing, capacity, device):
    metric = PanopticQuality(SCENE_CATEGORIES, rules="panopticapi", validate=True).to(device)
    scene = (
        misfit(gt, listed=listed, crowds=crowds, capacity=capacity),
        prediction(LEGEND, "tttttt...."),
    )
    gt, pred = (type(v)(*(f.to(device) for f in v)) for v in scene)
    expect(metric.update(pred, gt).compute(), thing=thing, stuff=(0, 0, 0, 1))


def test_a_missed_segment_without_pixels_has_a_record():
    metric = PanopticQuality(SCENE_CATEGORIES, rules="panopticapi")
    (image,) = metric.record_segments(prediction(LEGEND, "tt"), misfit("tt", listed="tu"))
    found = [(s.class_id, s.verdict, s.area, s.taken_for) for s in image.segments]
    assert found == [(1, "tp", 4, 1), (1, "fn", 0, None), (1, "tp", 4, 1)]


def test_by_other_rules_a_list_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="the map has segments that are not listed"):
        PanopticTarget.from_segments(draw("ttu"), segments(draw("tt"), LEGEND))
    with pytest.raises(ValueError, match="pixels of target with a segment id that has no row"):
        metric = PanopticQuality(SCENE_CATEGORIES, validate=True)
        metric.update(prediction(LEGEND, "tt"), misfit("tu", listed="t"))


def test_random_lists_that_do_not_fit_as_the_oracle():
    rng = np.random.default_rng(11)
    for size in SIZES * 10:
        pred_ids, pred_segments, gt_ids, gt_segments = panoptic_pair(rng, size)
        kept = [s for s in gt_segments if rng.random() < 0.7]
        empty = [{**s, "id": (1 << 25) + s["id"]} for s in gt_segments if rng.random() < 0.3]
        listed = [*empty, *kept] if rng.random() < 0.5 else [*kept, *empty]
        target = PanopticTarget.from_segments(gt_ids, listed, allow_misfits=True)
        pred = PanopticSegmentation.from_segments(pred_ids, pred_segments)
        result = PanopticQuality(CATEGORIES, rules="panopticapi").update(pred, target).compute()
        expected = panoptic_quality(pred_ids, pred_segments, gt_ids, listed)
        for category, row in result.classes.items():
            iou, *counts = expected.get(category, [0.0, 0, 0, 0])
            assert [row.tp, row.fp, row.fn] == counts
            assert row.iou_sum == pytest.approx(iou, abs=1e-12)


def test_other_rules_are_refused_and_own_ones_taken():
    with pytest.raises(ValueError, match="^rules: expected one of .*'coco'.*'kitti'"):
        PanopticQuality(CATEGORIES, rules="kitti")
    with pytest.raises(ValueError, match="^crowds: .*'ignored'"):
        PanopticRules(crowds="ignored")
    with pytest.raises(TypeError, match="^merges_stuff: expected a bool, found 'no'"):
        PanopticRules(merges_stuff="no")
    expect(score(PanopticRules(merges_stuff=True), *SCENES["F7"]), **PERFECT)


def test_states_of_different_rules_do_not_merge():
    PanopticQuality(CATEGORIES).merge_state(PanopticQuality(CATEGORIES, rules="cityscapes"))
    with pytest.raises(ValueError, match="^other: .*the same rules"):
        PanopticQuality(CATEGORIES).merge_state(PanopticQuality(CATEGORIES, rules="deeplab2"))

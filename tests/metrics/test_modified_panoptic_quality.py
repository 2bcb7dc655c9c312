"""PQ-dagger: by hand, against its oracles and torchmetrics; PQ from the same update."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from pps_torch import ModifiedPanopticQuality, PanopticQuality
from tests.factories import CATEGORIES, SIZES
from tests.metrics.drawings import CATEGORIES as SCENE_CATEGORIES
from tests.metrics.drawings import LEGEND, STUFF, THING, prediction, target
from tests.metrics.scenes import as_tensors, category_instance, halves, pair_with_voids, stack
from tests.oracles.panoptic_rules import dagger_by_coco, dagger_by_torchmetrics

STUFF_IDS = {c["id"] for c in CATEGORIES if not c["isthing"]}
ORACLES = {"coco": dagger_by_coco, "torchmetrics": dagger_by_torchmetrics}


def score(*, gt, pred, rules="coco"):
    metric = ModifiedPanopticQuality(SCENE_CATEGORIES, rules=rules)
    return metric.update(prediction(LEGEND, pred), target(LEGEND, gt)).compute()


def test_stuff_needs_no_half():
    # 30 of 100 pixels; the thing has the same IoU and is missed.
    result = score(gt="ssssssssss", pred="sss.......")
    assert result.per_class[STUFF]["PQ"] == 0
    assert result.per_class[STUFF]["PQ_dagger"] == pytest.approx(3 / 10, abs=1e-12)
    result = score(gt="tttttttttt", pred="ttt.......")
    assert result.per_class[THING]["PQ_dagger"] == 0


def test_things_are_those_of_pq():
    result = score(gt="ttttuuuuss", pred="ttttttvvss")
    row = result.per_class[THING]
    assert row["PQ_dagger"] == row["PQ"] == pytest.approx(1 / 3, abs=1e-12)
    assert result.summary["Things"]["PQ_dagger"] == result.summary["Things"]["PQ"]


def test_stuff_that_is_only_predicted_costs_nothing():
    result = score(gt="tttttttttt", pred="ssssstttt.")
    assert result.per_class[STUFF]["fp"] == 1 and result.summary["All"]["n"] == 2
    group = result.summary["All"]
    assert (group["PQ_dagger"], group["n_dagger"]) == (0.0, 1)
    assert result.summary["Stuff"]["n_dagger"] == 0
    assert math.isnan(result.summary["Stuff"]["PQ_dagger"])
    assert result.as_dict()["summary"]["Stuff"]["PQ_dagger"] is None


def test_pieces_of_stuff_add_up():
    # 70 and 30 of one segment of 100; two segments of which one is found.
    whole = score(gt="ssssssssss", pred="ssssssszzz").per_class[STUFF]
    assert whole["PQ_dagger"] == pytest.approx(1, abs=1e-12)
    half = score(gt="ssssszzzzz", pred="sssss.....").per_class[STUFF]
    assert (half["PQ_dagger"], half["gt_segments"]) == (0.5, 2)


def test_void_leaves_the_union():
    row = score(gt="ss......tt", pred="sssss...tt").per_class[STUFF]
    assert row["PQ_dagger"] == 1.0
    row = score(gt="sstttttttt", pred="sssss.tttt").per_class[STUFF]
    assert row["PQ_dagger"] == pytest.approx(float(Fraction(2, 5)), abs=1e-12)


@pytest.mark.parametrize("rules", ORACLES)
def test_random_scenes_as_the_oracle(rules, device):
    rng = np.random.default_rng(0)
    for size in SIZES * 2:
        pairs = [pair_with_voids(rng, size) for _ in range(3)]
        preds, targets = zip(*(as_tensors(pair) for pair in pairs))
        metric = ModifiedPanopticQuality(CATEGORIES, rules=rules).to(device)
        metric.update(stack(preds, (3,), device), stack(targets, (3,), device))
        expected = {category: np.zeros(2) for category in STUFF_IDS}
        for pair in pairs:
            for category, sums in ORACLES[rules](*pair, STUFF_IDS).items():
                expected[category] += sums
        for category, (iou, count) in expected.items():
            row = metric.compute().per_class[category]
            assert row["gt_segments"] == count
            assert row["overlap_iou"] == pytest.approx(iou, abs=1e-12)


@pytest.mark.slow
def test_random_scenes_as_torchmetrics():
    detection = pytest.importorskip("torchmetrics.detection")
    rng, things = np.random.default_rng(1), {c["id"] for c in CATEGORIES} - STUFF_IDS
    ours = ModifiedPanopticQuality(CATEGORIES, rules="torchmetrics")
    theirs = detection.ModifiedPanopticQuality(
        things=things, stuffs=STUFF_IDS, allow_unknown_preds_category=True
    )
    for size in SIZES * 5:
        pair = pair_with_voids(rng, size)
        ours.update(*as_tensors(pair))
        theirs.update(*(torch.from_numpy(category_instance(*half)) for half in halves(pair)))
    assert ours.compute().summary["All"]["PQ_dagger"] == pytest.approx(
        theirs.compute().item(), abs=1e-6
    )


@pytest.mark.parametrize("rules", ORACLES)
def test_pq_comes_from_the_same_update(rules):
    rng = np.random.default_rng(0)
    pq = PanopticQuality(CATEGORIES, rules=rules)
    modified, shared = (ModifiedPanopticQuality(CATEGORIES, rules=rules) for _ in range(2))
    for _ in range(10):
        images = as_tensors(pair_with_voids(rng, (9, 14)))
        modified.update(*images)
        comparison = pq.compare(*images)
        pq.add(comparison)
        shared.add(comparison)
    assert torch.equal(modified.class_sums, pq.class_sums)
    assert shared.compute() == modified.compute()
    group = modified.compute().summary["All"]
    assert {key: group[key] for key in ("PQ", "SQ", "RQ", "n")} == pq.compute().summary["All"]


def test_the_table_begins_with_the_groups():
    assert score(gt="ssssssssss", pred="sss.......").table().split()[:2] == ["PQ-dagger", "n"]

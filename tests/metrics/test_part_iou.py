"""PartIoU: by hand and against the oracle; what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, PartIoU, PartPanopticQuality
from tests.factories import BATCH_SHAPES, SIZES, pps_pair, specs
from tests.metrics.drawings import pps, uids
from tests.metrics.label_scores import expect_as_oracle, found
from tests.oracles.part_iou import label_pixels, mean_iou

SPECS = specs()
CPP = SPECS["cpp_default"]
GT = {"r": 7, "w": 26_001_02, "c": 26_001_05, "u": 26_001, "p": 24_002_01}
PRED = {"r": (7, 0, 1), "w": (26, 1, 2), "c": (26, 1, 5), "v": (26, 1, 255), "b": (26, 1, 0)}
PRED |= {"p": (24, 1, 1), "x": (26, 1, 7), "?": (98, 0, 1)}
WHEELS, CHASSIS, TORSO = 10, 13, 1


def score(*, gt: str, pred: str):
    return PartIoU(CPP).update(pps(PRED, pred), uids(GT, gt)).compute()


def test_iou_precision_and_recall_of_parts():
    result = score(gt="rrrwwcccpp", pred="rrrwccccpr")
    assert found(result.per_part[WHEELS]) == (0.5, 1.0, 0.5)
    assert found(result.per_part[CHASSIS]) == (0.75, 0.75, 1.0)
    assert found(result.per_part[TORSO]) == (0.5, 1.0, 0.5)
    assert found(result.per_part[0]) == (0.75, 0.75, 1.0)
    assert result.per_part[0]["name"] == "background"
    assert result.summary["PartIoU"] == (0.5 + 0.75 + 0.5 + 0.75) / 4
    assert result.summary["n_parts"] == 4 and result.summary["n"] == 3


def test_a_part_that_is_not_labelled_is_ignored_and_its_class_is_not():
    result = score(gt="wwwwwuuuuu", pred="wwwwwcrwvp")
    assert found(result.per_part[WHEELS]) == (1.0, 1.0, 1.0)
    assert result.per_part[CHASSIS]["pred_pixels"] == 0
    assert result.summary["PartIoU"] == 1.0
    assert result.per_class[26]["recall"] == 0.8


@pytest.mark.parametrize("letter", "vx.?")
def test_a_void_part_is_a_miss_and_no_false_prediction(letter):
    result = score(gt="wwwwwccccc", pred=f"wwwww{letter * 5}")
    assert found(result.per_part[WHEELS]) == (1.0, 1.0, 1.0)
    assert result.per_part[CHASSIS]["recall"] == 0.0
    assert result.summary["PartIoU"] == 0.5
    assert result.unknown_pixels == (50 if letter == "?" else 0)


def test_scene_ids_that_the_data_set_does_not_have_are_void_and_counted():
    pps = torch.tensor([[[7, 26, 26]], [[0, 1, 1]], [[1, 2, 2]]])
    result = PartIoU(CPP).update(pps, torch.tensor([[7, 26_001_02, 99]])).compute()
    assert result.unknown_gt_pixels == 1 and result.per_part[WHEELS]["pred_pixels"] == 1
    assert PartIoU(CPP).update(pps, torch.tensor([[7, 7, 7]])).compute().unknown_gt_pixels == 0


def test_predicted_part_0_is_background():
    result = score(gt="rrrrrwwwww", pred="rrrrrbbbbb")
    assert found(result.per_part[0]) == (0.5, 0.5, 1.0)
    assert result.per_class[26]["IoU"] == 1.0


def test_a_part_that_is_only_predicted_costs_the_others():
    result = score(gt="rrrrrwwwww", pred="rrrccwwwww")
    assert found(result.per_part[CHASSIS])[0] == 0.0
    assert result.summary["PartIoU"] == (3 / 5 + 1) / 2 and result.summary["n_parts"] == 2
    assert result.summary["mIoU"] == pytest.approx((3 / 5 + 5 / 7) / 2, abs=1e-12)


def test_ground_truth_void_is_not_evaluated():
    result = score(gt=".....wwwww", pred="cprwvwwwww")
    assert result.summary == {"PartIoU": 1.0, "n_parts": 1, "mIoU": 1.0, "n": 1}


def test_nothing_at_all_is_nan():
    result = PartIoU(CPP).compute()
    assert math.isnan(result.summary["PartIoU"]) and result.summary["n_parts"] == 0
    assert result.as_dict()["summary"] == {"PartIoU": None, "n_parts": 0, "mIoU": None, "n": 0}
    assert "n/a" in result.table()


@pytest.mark.parametrize("name", SPECS)
def test_random_scenes_as_the_oracle(name, device):
    spec, rng = SPECS[name], np.random.default_rng(0)
    for batch in BATCH_SHAPES:
        for size in SIZES:
            images = [pps_pair(rng, size, spec) for _ in range(np.prod(batch, dtype=int))]
            maps = (torch.from_numpy(np.stack(column)) for column in zip(*images))
            maps = [m.reshape(*batch, *m.shape[1:]).to(device) for m in maps]
            result = PartIoU(spec).to(device).update(*maps).compute()
            labels = zip(*(label_pixels(*image, spec) for image in images))
            scenes, parts = (sum(lists, []) for lists in labels)
            expect_as_oracle(result.per_class, scenes)
            expect_as_oracle(result.per_part, parts)
            found = [result.summary[key] for key in ("mIoU", "n", "PartIoU", "n_parts")]
            expected = [*mean_iou(scenes), *mean_iou(parts)]
            assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_bad_ids_are_counted_and_raised():
    gt_uids, maps = uids(GT, "rwcurwcurw"), pps(PRED, "rwcvrwcvrw")
    bad = gt_uids.clone()
    bad[0, 0] = 255
    with pytest.raises(ValueError, match="PartIoU: the updates had 1 pixels of target .* uid"):
        PartIoU(CPP).update(maps, bad).compute()
    bad = maps.clone()
    bad[2, 0, 1] = 300
    with pytest.raises(ValueError, match="1 pixels of pred with a part outside"):
        PartIoU(CPP, validate=True).update(bad, gt_uids)
    with pytest.raises(ValueError, match="^pred: expected shape"):
        PartIoU(CPP).update(maps[:2], gt_uids)
    with pytest.raises(TypeError, match="^target: expected uint8"):
        PartIoU(CPP).update(maps, gt_uids.float())


def test_the_table_names_parts_and_classes():
    table = score(gt="rrrwwcccpp", pred="rrrwccccp?").table()
    assert "car-wheels" in table and "road" in table and "10 predicted pixels" in table


@pytest.mark.parametrize(("name", "num_labels"), [("ppp_default", 58), ("ppp_107", 108)])
def test_a_class_that_is_one_flat_part_has_its_own_label(name, num_labels):
    """PASCAL's boat, chair, table, sofa: PartPQ takes them as a whole, yet each has a flat id."""
    spec = EvalSpec.load(name)
    assert len(PartIoU(spec).part_ids) == num_labels
    boat, sky, chair = (find_class(spec, label) for label in ("boat", "sky", "chair"))
    assert boat in spec.no_parts and (boat, 1) in spec.eval_sid_pid_to_flat
    gt_uids = torch.tensor([[boat, boat, sky, sky]])
    pps = torch.tensor([[[boat, chair, sky, boat]], [[1, 1, 0, 1]], [[1, 1, 1, 1]]])
    result = PartIoU(spec).update(pps, gt_uids).compute()
    rows = {row["name"]: row["IoU"] for row in result.per_part.values() if row["gt_pixels"]}
    assert rows == {"background": 1 / 2, "boat-boat": 1 / 3}
    assert result.summary["PartIoU"] == pytest.approx(5 / 12)


@pytest.mark.parametrize(("name", "train_label"), [("ppp_default", 55)])
def test_pixels_without_part_label_of_a_class_whose_parts_are_one(name, train_label):
    spec = EvalSpec.load(name)
    train = find_class(spec, "train")
    assert train in spec.no_parts
    gt_uids = torch.tensor([[train, train * 1000 + 1, (train * 1000 + 1) * 100 + 7]])
    pps = torch.tensor([[[train] * 3], [[1] * 3], [[1] * 3]])
    result = PartIoU(spec).update(pps, gt_uids).compute()
    assert result.per_part[train_label]["tp"] == result.per_part[train_label]["gt_pixels"] == 1
    assert result.summary["n_parts"] == 1 and result.summary["mIoU"] == 1.0


@pytest.mark.parametrize("make", [PartIoU, PartPanopticQuality])
def test_the_name_of_a_spec_is_no_spec(make):
    with pytest.raises(
        TypeError, match=r"^spec: expected an EvalSpec \(EvalSpec.load .* found str"
    ):
        make("cpp_default")


def find_class(spec, label):
    (sid,) = (sid for sid, name in spec.scene_labels.items() if name == label)
    return sid

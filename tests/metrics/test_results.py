"""Results: one shape for all metrics, the same numbers in every form, nothing lost on the way."""

from __future__ import annotations

import importlib.util
import math
import pickle
import sys

import pytest

from pps_torch import (
    BoundaryPanopticQuality,
    EvalSpec,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PartPanopticQuality,
)
from pps_torch.metrics.results import unique_labels
from tests.golden.state_dicts.record import CATEGORIES, metrics, update

NAMES = [*metrics()]
PANOPTIC = [name for name in NAMES if name.endswith(("PanopticQuality", "torchmetrics"))]
WITH_GROUPS = [name for name in PANOPTIC if name != "PartPanopticQuality"]
ABSENT = {"id": 9, "name": "person", "isthing": 1}


def counted(metric):
    update(metric)
    return metric


@pytest.fixture(params=NAMES)
def result(request):
    """The result of each kind of metric, for one scene."""
    return counted(metrics()[request.param]).compute()


def test_the_headline(result):
    headline = {
        "PanopticQualityResult": lambda: result.summary["All"]["PQ"],
        "ModifiedPanopticQualityResult": lambda: result.summary["All"]["PQ_dagger"],
        "BoundaryPanopticQualityResult": lambda: result.summary["All"]["BoundaryPQ"],
        "PartPanopticQualityResult": lambda: result.summary["PartPQ"],
        "MeanIoUResult": lambda: result.summary["mIoU"],
        "PartIoUResult": lambda: result.summary["PartIoU"],
    }
    assert type(result.value) is float
    assert result.value == headline[type(result).__name__]()


def test_its_text_is_the_table(result):
    assert str(result) == result.table()


def test_equal_where_all_numbers_are(result):
    empty = {name: metric.compute() for name, metric in metrics().items()}
    assert pickle.loads(pickle.dumps(result)) == result
    assert [name for name, other in empty.items() if other == result] == []
    again = {name: metric.compute() for name, metric in metrics().items()}
    assert all(again[name] == empty[name] for name in NAMES), "nan equals nan"
    assert result != result.as_dict()


@pytest.mark.parametrize("name", WITH_GROUPS)
def test_groups_and_classes_have_the_numbers_of_the_reference_keys(name):
    result = counted(metrics()[name]).compute()
    groups = {"All": result.all, "Things": result.things, "Stuff": result.stuff}
    for key, mean in groups.items():
        found = {"PQ": mean.pq, "SQ": mean.sq, "RQ": mean.rq, "n": mean.n}
        assert found == {key_of: result.summary[key][key_of] for key_of in found}
    assert [c.is_thing for c in result.classes.values()] == [False, True, False]
    for category_id, c in result.classes.items():
        row = result.per_class[category_id]
        assert (c.name, c.is_thing) == (row["name"], row["isthing"])
        assert c.counts == (c.iou_sum, c.tp, c.fp, c.fn)
        assert c.counts == tuple(row[key] for key in ("iou", "tp", "fp", "fn"))
        assert (c.pq, c.sq, c.rq) == (row["PQ"], row["SQ"], row["RQ"])


def test_of_part_pq_the_same_attributes_hold_part_pq():
    result = counted(metrics()["PartPanopticQuality"]).compute()
    groups = {"": (result.all, "n"), "_parts": (result.parts, "n_p")}
    for suffix, (mean, n) in {**groups, "_noparts": (result.noparts, "n_np")}.items():
        keys = [*(key + suffix for key in ("PartPQ", "PartSQ", "PartRQ")), n]
        assert [mean.pq, mean.sq, mean.rq, mean.n] == [result.summary[key] for key in keys]
    car, row = result.classes[26], result.per_class[26]
    assert car.name == "car" and car.has_parts and not result.classes[7].has_parts
    assert (car.pq, car.sq, car.rq) == tuple(row[key] for key in ("PartPQ", "PartSQ", "PartRQ"))
    assert car.counts == tuple(row[key] for key in ("iou", "tp", "fp", "fn")) != (0, 0, 0, 0)


def test_what_pq_dagger_and_boundary_pq_add():
    dagger = counted(metrics()["ModifiedPanopticQuality"]).compute()
    road, car = dagger.classes[3], dagger.classes[7]
    assert road.pq_dagger == road.overlap_iou_sum / road.gt_segments > 0
    assert (car.pq_dagger, car.overlap_iou_sum, car.gt_segments) == (car.pq, None, None)
    assert dagger.stuff.n_dagger == dagger.summary["Stuff"]["n_dagger"] == 2
    boundary = counted(metrics()["BoundaryPanopticQuality"]).compute()
    for category_id, c in boundary.classes.items():
        row = boundary.per_class[category_id]
        assert c.boundary_pq == row["BoundaryPQ"] and c.boundary_iou_sum == row["boundary_iou"]
        counts = c.boundary_tp, c.boundary_fp, c.boundary_fn
        assert counts == tuple(row[f"boundary_{key}"] for key in ("tp", "fp", "fn"))


def test_of_ious_classes_and_parts_have_the_numbers():
    result = counted(metrics()["PartIoU"]).compute()
    assert (result.parts.iou, result.parts.n) == (
        result.summary["PartIoU"],
        result.summary["n_parts"],
    )
    assert (result.all.iou, result.all.n) == (result.summary["mIoU"], result.summary["n"])
    present = [part.recall for part in result.part_labels.values() if part.gt_pixels]
    assert len(present) == result.parts.n
    assert result.parts.recall == pytest.approx(sum(present) / len(present), abs=1e-15)
    wheels = result.part_labels[10]
    assert wheels.name == result.per_part[10]["name"] == "car-wheels"
    assert wheels.iou == result.per_part[10]["IoU"]
    assert result.classes[26].recall == result.per_class[26]["recall"]


@pytest.mark.parametrize("name", PANOPTIC)
def test_a_class_without_segments_has_no_quality(name):
    part_aware = name == "PartPanopticQuality"
    metric = (
        PartPanopticQuality(EvalSpec.load("cpp_default"))
        if part_aware
        else type(metrics()[name])([*CATEGORIES, ABSENT])
    )
    result = counted(metric).compute()
    absent_id, quality = (33, "PartPQ") if part_aware else (9, "PQ")
    absent = result.classes[absent_id]
    assert all(math.isnan(value) for value in (absent.pq, absent.sq, absent.rq))
    assert absent.counts == (0, 0, 0, 0)
    assert result.per_class[absent_id][quality] == 0.0, "as in the reference"
    assert math.isnan(result.flat()[f"{quality}/{absent.name}"])


# Flat


def test_flat_keys_of_each_metric():
    flat = {name: counted(metric).compute().flat() for name, metric in metrics().items()}
    members = ("all", "things", "stuff", "road", "car", "sky")
    qualities = {
        "PanopticQuality": ("PQ", "SQ", "RQ"),
        "PanopticQuality_torchmetrics": ("PQ", "SQ", "RQ"),
        "ModifiedPanopticQuality": ("PQ", "SQ", "RQ", "PQ_dagger"),
        "BoundaryPanopticQuality": (
            *("PQ", "SQ", "RQ"),
            *("BoundaryPQ", "BoundarySQ", "BoundaryRQ"),
        ),
    }
    for name, keys in qualities.items():
        assert set(flat[name]) == {f"{key}/{member}" for key in keys for member in members}
    assert set(flat["MeanIoU"]) == {
        *("IoU/all", "Recall/all"),
        *(f"{key}/{c['name']}" for key in ("IoU", "Precision", "Recall") for c in CATEGORIES),
    }
    assert {"PartPQ/all", "PartPQ/parts", "PartPQ/noparts", "PartSQ/car"} <= set(
        flat["PartPanopticQuality"]
    )
    assert {"PartIoU/all", "PartIoU/background", "PartPrecision/car-wheels", "IoU/car"} <= set(
        flat["PartIoU"]
    )


def test_flat_has_every_number(result):
    flat = result.flat()
    assert all(type(key) is str and type(value) is float for key, value in flat.items())
    headlines = "PQ/all PQ_dagger/all BoundaryPQ/all PartPQ/all IoU/all PartIoU/all".split()
    assert result.value in [flat[key] for key in headlines if key in flat]
    names = [c.name for c in result.classes.values()]
    for quality in {key.split("/")[0] for key in flat} & {"PQ", "PartPQ", "IoU"}:
        assert {f"{quality}/{name}" for name in names} <= set(flat)


def test_names_that_clash_get_their_ids():
    categories = [
        {"id": 3, "name": "all", "isthing": 0},
        {"id": 7, "name": "car", "isthing": 1},
        {"id": 200, "name": "car", "isthing": 0},
    ]
    result = counted(PanopticQuality(categories)).compute()
    flat = result.flat()
    assert len(flat) == 3 * (3 + 3)
    assert flat["PQ/all"] == result.all.pq
    assert flat["PQ/all (3)"] == result.classes[3].pq
    assert flat["PQ/car (7)"] == result.classes[7].pq
    assert flat["PQ/car (200)"] == result.classes[200].pq


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({1: "car", 2: "road"}, ["car", "road"]),
        ({1: "car", 2: "car"}, ["car (1)", "car (2)"]),
        ({1: "all", 2: "all"}, ["all (1)", "all (2)"]),
        ({1: "car", 2: "car", 3: "car (1)"}, ["car (1) (1)", "car (2)", "car (1) (3)"]),
        ({1: "all", 2: "all (1)"}, ["all (1) (1)", "all (1) (2)"]),
    ],
)
def test_labels_are_unique(names, expected):
    labels = unique_labels(names, {"all"})
    assert [*labels.values()] == expected and [*labels] == [*names]


# pandas

needs_pandas = pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="needs pandas")


def test_without_pandas_the_error_names_it(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="^to_pandas needs pandas"):
        result.to_pandas()


@needs_pandas
def test_a_frame_has_a_row_for_each_class():
    result = counted(BoundaryPanopticQuality([*CATEGORIES, ABSENT])).compute()
    frame = result.to_pandas()
    assert frame.index.tolist() == [3, 7, 200, 9] and frame.index.name == "id"
    assert frame.loc[7].to_dict() == vars(result.classes[7])
    assert frame["tp"].dtype == "int64"
    assert frame["pq"].mean() == pytest.approx(result.all.pq, abs=1e-15), "nan is left out"


@needs_pandas
def test_frames_of_other_metrics():
    mean_iou = counted(MeanIoU(CATEGORIES)).compute()
    assert mean_iou.to_pandas()["iou"].tolist() == [c.iou for c in mean_iou.classes.values()]
    part_iou = counted(metrics()["PartIoU"]).compute()
    frame = part_iou.to_pandas()
    assert frame.index.names == ["kind", "id"]
    assert len(frame) == len(part_iou.part_labels) + len(part_iou.classes)
    assert frame.loc[("part", 10)].to_dict() == pytest.approx(
        vars(part_iou.part_labels[10]), nan_ok=True
    )
    dagger = counted(ModifiedPanopticQuality(CATEGORIES)).compute().to_pandas()
    assert dagger["gt_segments"].isna().tolist() == [False, True, False]

"""PanopticQuality against its oracle, the golden cases and a real image; what it refuses."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, PanopticQuality, PanopticSegmentation, PanopticTarget
from tests.factories import (
    BATCH_SHAPES,
    CATEGORIES,
    INTEGER_DTYPES,
    SIZES,
    panoptic_pair,
    split_batches,
)
from tests.golden import cases
from tests.metrics.batches import one_image
from tests.metrics.scenes import as_tensors, stack
from tests.oracles.panoptic_quality import add_stats, average, qualities
from tests.oracles.panoptic_quality import panoptic_quality as slow_quality


def random_pairs(rng, size, count: int):
    return [panoptic_pair(rng, size) for _ in range(count)]


def expect_stats(metric: PanopticQuality, stats: dict[int, list], tolerance: float = 1e-12) -> None:
    """Equal counts for each class; IoU sums, qualities and means within the tolerance."""
    result = metric.compute()
    for category, row in result.per_class.items():
        iou, *counts = stats.get(category, [0.0, 0, 0, 0])
        assert [row["tp"], row["fp"], row["fn"]] == counts, category
        assert row["iou"] == pytest.approx(iou, abs=tolerance * max(1, counts[0]))
        found = (row["PQ"], row["SQ"], row["RQ"])
        assert found == pytest.approx(qualities(iou, *counts), abs=tolerance)
    for name, kinds in {"All": (0, 1), "Things": (1,), "Stuff": (0,)}.items():
        members = [c["id"] for c in metric.categories if c["isthing"] in kinds]
        group = tuple(result.summary[name].values())
        assert group == pytest.approx(average(stats, members), abs=tolerance, nan_ok=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_random_scenes_as_the_oracle(size, batch, device):
    rng = np.random.default_rng([*size, len(batch)])
    for _ in range(12 // np.prod(batch, dtype=int)):
        pairs = random_pairs(rng, size, np.prod(batch, dtype=int))
        preds, targets = zip(*(as_tensors(pair) for pair in pairs))
        pred, target = stack(preds, batch, device), stack(targets, batch, device)
        dtype = INTEGER_DTYPES[rng.integers(len(INTEGER_DTYPES))]
        metric = PanopticQuality(CATEGORIES).to(device)
        metric.update(
            pred._replace(panoptic_seg=pred.panoptic_seg.to(dtype)),
            target._replace(panoptic_seg=target.panoptic_seg.to(dtype)),
        )
        expected = {}
        for pair in pairs:
            add_stats(expected, slow_quality(*pair))
        expect_stats(metric, expected)


def test_any_split_and_order_gives_the_same_bits():
    rng = np.random.default_rng(7)
    images = [as_tensors(pair) for pair in random_pairs(rng, (9, 14), 30)]
    whole = PanopticQuality(CATEGORIES)
    whole.update(*(stack(column, (30,)) for column in zip(*images)))
    for _ in range(5):
        shuffled = [images[i] for i in rng.permutation(30)]
        pieces = split_batches(rng, 30)
        metrics = [PanopticQuality(CATEGORIES) for _ in range(2)]
        for i, piece in enumerate(pieces):
            preds, targets = zip(*shuffled[piece])
            metrics[i % 2].update(stack(preds, (len(preds),)), stack(targets, (len(preds),)))
        merged = metrics[1].merge_state(metrics[0])
        assert merged.compute() == whole.compute()
        for name, value in whole.state_dict().items():
            assert torch.equal(merged.state_dict()[name], value)


def test_inputs_are_read_only_and_may_be_strided(device):
    pairs = random_pairs(np.random.default_rng(8), (9, 14), 4)
    preds, targets = zip(*(as_tensors(pair) for pair in pairs))
    pred, target = stack(preds, (4,), device), stack(targets, (4,), device)
    before = [value.clone() for value in (*pred, *target)]
    plain = PanopticQuality(CATEGORIES).to(device).update(pred, target)
    assert all(torch.equal(a, b) for a, b in zip((*pred, *target), before))
    strided = (
        PanopticQuality(CATEGORIES)
        .to(device)
        .update(
            pred._replace(panoptic_seg=pred.panoptic_seg.mT.contiguous().mT),
            target._replace(panoptic_seg=target.panoptic_seg.mT.contiguous().mT),
        )
    )
    assert strided.compute() == plain.compute()


def test_an_update_with_no_image_counts_nothing():
    images = [as_tensors(pair) for pair in random_pairs(np.random.default_rng(9), (3, 3), 1)]
    pred, target = (stack(column, (1,)) for column in zip(*images))
    none = PanopticQuality(CATEGORIES)
    none.update(type(pred)(*(f[:0] for f in pred)), type(target)(*(f[:0] for f in target)))
    assert math.isnan(none.compute().summary["All"]["PQ"])


def test_a_row_without_pixels_counts_nothing():
    # A merge with overlap_threshold=1 may keep an instance that others cover wholly.
    pred, target = one_image()
    rows = torch.tensor([5, 5])
    pred = pred._replace(category_ids=rows)
    target = target._replace(category_ids=rows, is_crowd=torch.tensor([False, False]))
    row = PanopticQuality(ONE).update(pred, target).compute().per_class[5]
    assert (row["tp"], row["fp"], row["fn"]) == (1, 0, 0)


def test_capacities_of_prediction_and_target_may_differ():
    rng = np.random.default_rng(10)
    for pair in random_pairs(rng, (9, 14), 20):
        metric = PanopticQuality(CATEGORIES).update(*as_tensors(pair, capacity=None))
        expect_stats(metric, slow_quality(*pair))


def test_an_eval_spec_says_the_categories():
    spec = EvalSpec.load("cpp_default")
    metric = PanopticQuality(spec)
    assert tuple(metric.compute().per_class) == spec.eval_sids
    names = {k: row["name"] for k, row in metric.compute().per_class.items()}
    assert names == spec.scene_labels


# Reference answers


def test_golden_panopticapi(device):
    metric = PanopticQuality(cases.pq_categories()).to(device)
    for pair in cases.pq_images():
        pred, target = as_tensors(pair, capacity=None)
        metric.update(stack([pred], (), device), stack([target], (), device))
    expected = cases.pq_expected()
    result = metric.compute()
    for category, (iou, *counts) in expected["iou_tp_fp_fn"].items():
        row = result.per_class[int(category)]
        assert [row["tp"], row["fp"], row["fn"]] == counts
        assert row["iou"] == pytest.approx(iou, abs=1e-9)
        qualities = expected["per_class"][category]
        assert (row["PQ"], row["SQ"], row["RQ"]) == pytest.approx(
            tuple(qualities.values()), abs=1e-9
        )
    for name in ("All", "Things", "Stuff"):
        found = tuple(result.summary[name].values())
        assert found == pytest.approx(tuple(expected[name].values()), abs=1e-9)


def test_real_coco_image(real_images):
    folder = real_images / "coco"
    expected = cases.read_json(folder / "expected" / "pq.json")
    metric = PanopticQuality(cases.pq_categories(folder / "panoptic_gt.json"))
    for pair in cases.pq_images(folder, "panoptic_gt", "panoptic_pred"):
        metric.update(*as_tensors(pair, capacity=None))
    result = metric.compute()
    for category, (iou, *counts) in expected["iou_tp_fp_fn"].items():
        row = result.per_class[int(category)]
        assert [row["tp"], row["fp"], row["fn"]] == counts
        assert row["iou"] == pytest.approx(iou, abs=1e-9)
    for name in ("All", "Things", "Stuff"):
        found = tuple(result.summary[name].values())
        assert found == pytest.approx(tuple(expected[name].values()), abs=1e-9)


# What is refused

ONE = [{"id": 5, "name": "car", "isthing": 1}]


@pytest.mark.parametrize(
    "change, match",
    [
        (
            {"pred_ids": [[1, 2], [2, 2]], "gt_ids": [[1, 1]] * 2},
            "3 pixels of pred with a segment id",
        ),
        ({"pred_ids": [[1, -1]]}, "1 pixels of pred with a segment id"),
        ({"gt_ids": [[70_000, 2]]}, "2 pixels of target with a segment id"),
        ({"pred_category": 6}, "1 segments of pred of an unknown category"),
        ({"gt_category": 6}, "1 segments of target of an unknown category"),
    ],
)
def test_values_are_counted_and_raised_at_compute(change, match, device):
    images = [stack([image], (), device) for image in one_image(**change)]
    metric = PanopticQuality(ONE).to(device)
    metric.update(*images)
    with pytest.raises(ValueError, match=match):
        metric.compute()
    with pytest.raises(ValueError, match=match):
        PanopticQuality(ONE, validate=True).to(device).update(*images)
    metric.reset().update(*(stack([image], (), device) for image in one_image()))
    assert metric.compute().summary["All"]["PQ"] == 1.0


def test_images_of_different_sizes_in_one_update():
    """A car of 4 pixels, found, and one of 6, half of it found; IoU 1 and no match."""
    sizes, infos = [(2, 2), (1, 6)], [{"id": 1, "category_id": 1}]
    preds = [torch.ones(size, dtype=torch.int64) for size in sizes]
    targets = [PanopticTarget.from_segments(ids, infos) for ids in preds]
    preds[1] = preds[1].cumsum(1).le(3).long()
    metric = PanopticQuality([{"id": 1, "name": "car", "isthing": 1}])
    metric.update([PanopticSegmentation.from_segments(ids, infos) for ids in preds], targets)
    assert metric.compute().classes[1].counts == (1.0, 1, 1, 1)


def test_unknown_categories_are_named_and_asked_about():
    known = [{"id": 11 * n, "name": str(n), "isthing": 1} for n in range(1, 13)]
    images = one_image(pred_category=5, gt_category=3)
    question = (
        "; the categories have the ids 11, 22, 33, 44, 55, 66, 77, 88, 99, 110 and 2 more; are "
        "these class indices? category_ids= of the merges makes category ids of them"
    )
    message = (
        "PanopticQuality: the updates had 1 segments of pred of an unknown category; "
        "1 segments of target of an unknown category"
    )
    for metric, named in ((PanopticQuality(known, validate=True), " (3, 5)"), (None, "")):
        with pytest.raises(ValueError) as error:
            (metric or PanopticQuality(known)).update(*images).compute()
        assert str(error.value) == message + named + question


def test_a_fault_survives_merging_and_saving():
    bad = PanopticQuality(ONE).update(*one_image(pred_category=6))
    merged = PanopticQuality(ONE).merge_state(bad)
    loaded = PanopticQuality(ONE)
    loaded.load_state_dict(bad.state_dict())
    for metric in (merged, loaded):
        with pytest.raises(ValueError, match="1 segments of pred"):
            metric.compute()


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"pred_ids": [[1.0, 1.0]]}, TypeError, r"^pred\.panoptic_seg: .*float"),
        ({"gt_ids": [[1.0, 1.0]]}, TypeError, r"^target\.panoptic_seg: .*float"),
        ({"gt_ids": [[1, 1, 1]]}, ValueError, r"^target\.panoptic_seg: .*\(1, 2\).*\(1, 3\)"),
        ({"pred_ids": [1, 1]}, ValueError, r"^pred\.panoptic_seg: "),
        ({"pred_ids": [[[1, 1]]]}, ValueError, r"^pred\."),
    ],
)
def test_wrong_shapes_and_types_are_named(change, error, match):
    with pytest.raises(error, match=match):
        PanopticQuality(ONE).update(*one_image(**change))


def test_tables_of_another_shape_are_named():
    pred, target = one_image()
    with pytest.raises(ValueError, match=r"^target\.is_crowd: "):
        PanopticQuality(ONE).update(
            pred, target._replace(is_crowd=torch.zeros(2, dtype=torch.bool))
        )
    with pytest.raises(ValueError, match=r"^pred\.category_ids: "):
        PanopticQuality(ONE).update(pred._replace(category_ids=torch.zeros(3, 1).long()), target)


@pytest.mark.parametrize(
    "categories", [[*ONE, *ONE], [{"id": 5, "name": "car"}], [{"id": 5, "isthing": 1}]]
)
def test_wrong_categories_are_refused(categories):
    with pytest.raises(ValueError, match=r"^categories\[\d\]: "):
        PanopticQuality(categories)


@pytest.mark.parametrize("category_id", [1.7, "1", None])
def test_category_ids_are_integers(category_id):
    with pytest.raises(TypeError, match=r"^categories\[0\]: id: expected an int, found"):
        PanopticQuality([{"id": category_id, "name": "road", "isthing": 0}])


def test_numbers_of_numpy_become_plain_ones():
    road = {"id": np.int64(7), "name": "road", "isthing": np.bool_(True)}
    result = PanopticQuality([road]).compute().as_dict()
    assert json.loads(json.dumps(result)) == result
    assert result["per_class"]["7"]["isthing"] == 1


def test_what_is_no_segmentation_is_named():
    metric, ids = PanopticQuality(CATEGORIES), torch.zeros(2, 3, dtype=torch.int32)
    pred, target = (
        PanopticSegmentation.from_segments(ids, []),
        PanopticTarget.from_segments(ids, []),
    )
    with pytest.raises(TypeError, match="^pred: expected a PanopticSegmentation .*found tuple"):
        metric.update((ids, []), target)
    with pytest.raises(TypeError, match="^target: expected a PanopticTarget .*found Panoptic"):
        metric.update(pred, pred)
    assert not metric.update(pred, target).class_sums.any()


def test_rules_are_a_name():
    with pytest.raises(ValueError, match=r"^rules: expected one of .*\['coco'\]"):
        PanopticQuality(CATEGORIES, rules=["coco"])

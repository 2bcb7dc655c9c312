"""mIoU: by hand, as the oracle and torchmetrics, from counts of others; what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, MeanIoU, PanopticQuality, PartIoU, PartPanopticQuality
from tests.factories import CATEGORIES, SIZES, pps_pair, specs
from tests.metrics.label_scores import expect_as_oracle, found
from tests.metrics.scenes import as_tensors, pair_with_voids
from tests.oracles.part_iou import mean_iou

SPECS = specs()
CPP = SPECS["cpp_default"]
IDS = [c["id"] for c in CATEGORIES]


def test_mean_iou_by_hand():
    pred, gt = torch.tensor([[3, 3, 7, 255]]), torch.tensor([[3, 7, 7, 7]])
    result = MeanIoU(CATEGORIES).update(pred, gt).compute()
    assert found(result.per_class[3]) == (0.5, 0.5, 1.0)
    assert found(result.per_class[7]) == (1 / 3, 1.0, 1 / 3)
    assert result.summary == {"mIoU": (0.5 + 1 / 3) / 2, "mAcc": (1 + 1 / 3) / 2, "n": 2}
    assert "n/a" not in result.table() and "41.7" in result.table()


def test_mean_iou_of_random_maps_as_the_oracle(device):
    rng = np.random.default_rng(0)
    for size in SIZES * 3:
        pred, gt = rng.choice([*IDS, 255], (2, 3, *size))
        metric = MeanIoU(CATEGORIES).to(device)
        result = metric.update(*(torch.from_numpy(m).to(device) for m in (pred, gt))).compute()
        pairs = [
            (g, None if p == 255 else p)
            for g, p in zip(gt.ravel().tolist(), pred.ravel().tolist())
            if g != 255
        ]
        expect_as_oracle(result.per_class, pairs)
        expected = mean_iou(pairs)
        assert (result.summary["mIoU"], result.summary["n"]) == pytest.approx(expected, nan_ok=True)


@pytest.mark.slow
def test_mean_iou_as_torchmetrics():
    classification = pytest.importorskip("torchmetrics.classification")
    rng, num_classes = np.random.default_rng(0), 6
    categories = [{"id": i, "name": str(i), "isthing": 0} for i in range(num_classes)]
    pred, gt = (torch.from_numpy(rng.integers(0, num_classes, (2, 40, 30))) for _ in range(2))
    gt[0, :3] = 255
    options = {"num_classes": num_classes, "ignore_index": 255, "average": None}
    rows = MeanIoU(categories).update(pred, gt).compute().per_class.values()
    for kind, key in (("JaccardIndex", "IoU"), ("Precision", "precision"), ("Recall", "recall")):
        expected = getattr(classification, f"Multiclass{kind}")(**options)(pred, gt).tolist()
        assert [row[key] for row in rows] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("rules", ["coco", "torchmetrics", "deeplab2"])
def test_mean_iou_from_the_joint_counts_of_pq(rules):
    rng, pq = np.random.default_rng(0), PanopticQuality(CATEGORIES, rules=rules)
    from_segments, from_maps = MeanIoU(CATEGORIES), MeanIoU(CATEGORIES)
    for _ in range(20):
        pred, target = as_tensors(pair_with_voids(rng, (9, 14)))
        from_segments.add(pq.compare(pred, target))
        from_maps.update(*(semantic(s) for s in (pred, target)))
    assert torch.equal(from_segments.confusion, from_maps.confusion)
    assert from_maps.confusion.sum() > 0


def semantic(segments) -> torch.Tensor:
    """Category ids of a panoptic map, void is 255."""
    categories = torch.cat([torch.tensor([255]), segments.category_ids])
    return categories[segments.panoptic_seg.long()]


@pytest.mark.parametrize("name", ["cpp_default", "ppp_default", "remapped"])
def test_mean_iou_from_the_joint_counts_of_part_pq(name):
    spec, rng = SPECS[name], np.random.default_rng(0)
    part_pq, part_iou, miou = PartPanopticQuality(spec), PartIoU(spec), MeanIoU(spec)
    for _ in range(20):
        maps = [torch.from_numpy(m) for m in pps_pair(rng, (9, 14), spec)]
        part_iou.update(*maps)
        miou.add(part_pq.compare(*maps))
    assert torch.equal(miou.confusion, part_iou.class_confusion)
    assert miou.compute().summary["mIoU"] == part_iou.compute().summary["mIoU"]


def test_unknown_categories_are_counted_and_raised():
    gt, pred = torch.tensor([[3, 4, 255]]), torch.tensor([[3, -1, 5000]])
    metric = MeanIoU(CATEGORIES).update(pred, gt)
    with pytest.raises(ValueError, match="MeanIoU: .* 1 pixels of target .*; 2 pixels of pred"):
        metric.compute()
    with pytest.raises(ValueError, match="1 pixels of target"):
        MeanIoU(CATEGORIES, validate=True).update(gt, gt)
    MeanIoU(CATEGORIES, ignore_label=-1).update(pred[:, :2], gt[:, [0, 0]]).compute()
    segments = [{"id": 1, "category_id": 3, "iscrowd": 0}]
    images = as_tensors((*[np.ones((2, 2), int), segments] * 2,), None)
    comparison = PanopticQuality(CATEGORIES[1:]).compare(*images)
    broken = MeanIoU(CATEGORIES[1:])
    broken.add(comparison)
    with pytest.raises(ValueError, match="2 faults in the segments of a comparison"):
        broken.compute()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("ignore_label", [-1, 300, 254])
def test_the_void_label_is_a_number_in_every_dtype(dtype, ignore_label):
    gt, pred = torch.tensor([[3, 255]], dtype=dtype), torch.tensor([[3, 3]], dtype=dtype)
    metric = MeanIoU(CATEGORIES, ignore_label=ignore_label).update(pred, gt)
    with pytest.raises(
        ValueError,
        match="1 pixels of target with an unknown category; the .* are these class indices",
    ):
        metric.compute()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="^ignore_label: .*3"):
        MeanIoU(CATEGORIES, ignore_label=3)
    with pytest.raises(TypeError, match="^ignore_label: expected an int, found 0.5"):
        MeanIoU(CATEGORIES, ignore_label=0.5)
    with pytest.raises(ValueError, match=r"^categories\[0\]: id: expected at most"):
        MeanIoU([{"id": 1 << 30, "name": "far", "isthing": 0}])
    with pytest.raises(ValueError, match="^target: expected shape"):
        MeanIoU(CATEGORIES).update(torch.zeros(2, 2).long(), torch.zeros(2, 3).long())
    assert MeanIoU(EvalSpec.load("cpp_default")).class_ids == CPP.eval_sids


def test_the_void_label_is_that_of_the_spec():
    spec = replace(CPP, ignore_label=254)
    road, void = torch.tensor([[7, 7]]), torch.tensor([[7, 254]])
    assert MeanIoU(spec).update(road, void).compute().summary["mIoU"] == 1.0
    with pytest.raises(ValueError, match="unknown category"):
        MeanIoU(spec, ignore_label=255).update(road, void).compute()


@pytest.mark.parametrize("make", [MeanIoU, PanopticQuality])
@pytest.mark.parametrize("categories", ["cpp_default", [1, 2], {"id": 1}])
def test_what_is_no_list_of_categories_is_named(make, categories):
    with pytest.raises(TypeError, match="^categories: expected an EvalSpec or a list of dicts"):
        make(categories)

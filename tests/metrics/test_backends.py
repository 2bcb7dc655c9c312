"""Triton and torch leave the same bits in the state: random scenes, dtypes, splits, bad input."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from pps_torch import (
    BoundaryPanopticQuality,
    EvalSpec,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartIoU,
    PartPanopticQuality,
)
from tests.factories import CATEGORIES, INTEGER_DTYPES, remapped_spec
from tests.metrics.batches import panoptic_batch, part_batch
from tests.ops.twins import DEVICE, on_device

BATCHES = (1, 3, 0)
SIZES = [(13, 7), *(pytest.param(s, marks=pytest.mark.slow) for s in [(1, 1), (1, 17), (37, 31)])]
SPECS = {"cpp": EvalSpec.load("cpp_default"), "remapped": remapped_spec()}


def expect_same_bits(make, images) -> None:
    """Both backends, each image batch by batch; the state, faults and all."""
    metrics = [make(backend=backend).to(DEVICE) for backend in ("torch", "triton")]
    for metric in metrics:
        for image in images:
            metric.update(*on_device(tuple(image)))
    one, other = (metric.state_dict() for metric in metrics)
    for name, state in one.items():
        assert torch.equal(other[name], state), name


@pytest.mark.parametrize("size", SIZES)
def test_panoptic_quality(size):
    rng = np.random.default_rng(size)
    images = [panoptic_batch(rng, size, count) for count in BATCHES]
    expect_same_bits(functools.partial(PanopticQuality, CATEGORIES), images)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spec", ["cpp", pytest.param("remapped", marks=pytest.mark.slow)])
def test_part_panoptic_quality(spec, size):
    rng = np.random.default_rng(size)
    images = [part_batch(rng, size, count, SPECS[spec]) for count in BATCHES]
    expect_same_bits(functools.partial(PartPanopticQuality, SPECS[spec], capacity=20), images)


@pytest.mark.parametrize(
    "make",
    [
        functools.partial(ModifiedPanopticQuality, CATEGORIES, rules="torchmetrics"),
        functools.partial(PanopticQuality, CATEGORIES, rules="deeplab2"),
        functools.partial(BoundaryPanopticQuality, CATEGORIES, dilation_ratio=0.1),
    ],
)
def test_other_rules_and_boundaries(make):
    rng = np.random.default_rng(0)
    expect_same_bits(make, [panoptic_batch(rng, (13, 7), count) for count in BATCHES])


def test_mean_iou_and_part_iou():
    rng, ids = np.random.default_rng(0), [c["id"] for c in CATEGORIES]
    maps = [torch.from_numpy(rng.choice([*ids, 255, 4], (2, n, 13, 7))).unbind() for n in BATCHES]
    expect_same_bits(functools.partial(MeanIoU, CATEGORIES), maps)
    for spec in SPECS.values():
        images = [part_batch(rng, (13, 7), count, spec) for count in BATCHES]
        expect_same_bits(functools.partial(PartIoU, spec), images)


def test_strided_maps():
    rng = np.random.default_rng(0)
    pps, uids = part_batch(rng, (9, 14), 2, SPECS["cpp"])
    strided = pps.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), uids.mT.contiguous().mT
    expect_same_bits(functools.partial(PartPanopticQuality, SPECS["cpp"], capacity=20), [strided])
    pred, target = panoptic_batch(rng, (9, 14), 2)
    pred = pred._replace(panoptic_seg=pred.panoptic_seg.mT.contiguous().mT)
    target = target._replace(category_ids=target.category_ids.mT.contiguous().mT)
    expect_same_bits(functools.partial(PanopticQuality, CATEGORIES), [(pred, target)])


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_ids_outside_the_tables_are_counted_alike(dtype):
    low = 0 if dtype == torch.uint8 else -3
    ids = torch.arange(low, 120, dtype=torch.int64).to(dtype).view(1, 3, -1)
    rows = torch.tensor([[3, 7, -1, 1, 9, 200]])
    pred = PanopticSegmentation(ids, rows, *[rows] * 4, rows[:, 0])
    target = PanopticTarget(ids.flip(2), rows, rows == 7, rows[:, 0])
    expect_same_bits(functools.partial(PanopticQuality, CATEGORIES), [(pred, target)])
    metric = PanopticQuality(CATEGORIES).update(pred, target)
    assert metric.faults.min() > 0, "all kinds of faults were met"


def test_odd_uids_instances_and_parts_are_counted_alike():
    rng = np.random.default_rng(0)
    pps = torch.from_numpy(rng.choice([-1, 0, 1, 3, 7, 11, 24, 26, 90, 255, 300], (2, 3, 11, 13)))
    sids, iids, pids = rng.choice([7, 11, 24, 26, 98], (3, 2, 11, 13))
    uids = np.where(pids > 11, sids * 100_000 + iids * 100 + pids, sids * 1000 + iids)
    uids[:, 0, :6] = [-1, 255, 999, 7, 26, 2**33]
    make = functools.partial(PartPanopticQuality, SPECS["cpp"], capacity=20)
    expect_same_bits(make, [(pps, torch.from_numpy(uids))])
    metric = make().update(pps, torch.from_numpy(uids))
    assert metric.faults[:4].min() > 0
    assert metric.unknown_pixels > 0 and metric.unknown_gt_pixels > 0


def test_segments_above_the_capacity_are_counted_alike():
    uids = torch.tensor([[7, 8, 11, 24_001, 24_002, 26]])
    pps = torch.tensor([[[7, 8, 11, 24, 24, 26]], [[0, 0, 0, 1, 2, 1]], [[1] * 6]])
    make = functools.partial(PartPanopticQuality, SPECS["cpp"], capacity=3)
    expect_same_bits(make, [(pps, uids)])
    assert make().update(pps, uids).faults[4:].tolist() == [3, 3]


@pytest.mark.parametrize("backend", ["torch", "triton"])
def test_update_leaves_the_bits_of_compare_and_add(backend):
    rng = np.random.default_rng(0)
    images = panoptic_batch(rng, (13, 7), 2), part_batch(rng, (13, 7), 2, SPECS["remapped"])
    makes = (
        functools.partial(PanopticQuality, CATEGORIES, backend=backend),
        functools.partial(PartPanopticQuality, SPECS["remapped"], capacity=20, backend=backend),
    )
    for make, image in zip(makes, images):
        one, other, image = make().to(DEVICE), make().to(DEVICE), on_device(tuple(image))
        one.update(*image)
        other.add(other.compare(*image))
        for name, state in one.state_dict().items():
            assert torch.equal(other.state_dict()[name], state), name


def test_a_subclass_gets_the_comparison_in_add():
    rng, seen = np.random.default_rng(0), []

    class Watched(PanopticQuality):
        def add(self, comparison):
            seen.append(comparison)
            return super().add(comparison)

    metric, image = Watched(CATEGORIES), panoptic_batch(rng, (13, 7), 2)
    metric.update(*image)
    (comparison,) = seen
    assert comparison.pairs.pixels.sum() == 2 * 13 * 7
    assert metric.compute() == PanopticQuality(CATEGORIES).update(*image).compute()


def test_a_backend_that_cannot_run_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="^backend: .*'cuda'"):
        PanopticQuality(CATEGORIES, backend="cuda")
    with pytest.raises(ValueError, match="^backend: .*'numpy'"):
        PartPanopticQuality(SPECS["cpp"], backend="numpy")
    monkeypatch.setattr("pps_torch.ops.backend._IS_INTERPRETED", False)
    uids = torch.tensor([[7]])
    metric = PartPanopticQuality(SPECS["cpp"], backend="triton")
    with pytest.raises(RuntimeError, match="cannot run: .*cpu"):
        metric.update(torch.tensor([[[7]], [[0]], [[1]]]), uids)

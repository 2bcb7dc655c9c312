"""Every metric keeps the contract of a metric class."""

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
from tests.factories import CATEGORIES, panoptic_pair, pps_pair, remapped_spec
from tests.metrics.class_contract import ClassContract, same_state


def contract_of_pq(kind=PanopticQuality, **options) -> ClassContract:
    rng, images = np.random.default_rng(0), []
    for _ in range(3):
        pred_ids, pred_segments, gt_ids, gt_segments = panoptic_pair(rng, (9, 14))
        pred = PanopticSegmentation.from_segments(
            torch.from_numpy(pred_ids), pred_segments, capacity=14
        )
        target = PanopticTarget.from_segments(torch.from_numpy(gt_ids), gt_segments, capacity=14)
        images.append((pred, target))
    return ClassContract(functools.partial(kind, CATEGORIES, **options), images)


def contract_of_part_pq(spec, kind=PartPanopticQuality) -> ClassContract:
    rng = np.random.default_rng(0)
    images = [tuple(torch.from_numpy(a) for a in pps_pair(rng, (9, 14), spec)) for _ in range(3)]
    return ClassContract(functools.partial(kind, spec), images)


def contract_of_mean_iou() -> ClassContract:
    rng, ids = np.random.default_rng(0), [c["id"] for c in CATEGORIES]
    images = [torch.from_numpy(rng.choice([*ids, 255], (2, 9, 14))).unbind() for _ in range(3)]
    return ClassContract(functools.partial(MeanIoU, CATEGORIES), images)


CONTRACTS = {
    "PanopticQuality": contract_of_pq,
    "PartPanopticQuality": lambda: contract_of_part_pq(EvalSpec.load("ppp_default")),
    "PartPanopticQuality, remapped": lambda: contract_of_part_pq(remapped_spec()),
    "PanopticQuality, torchmetrics": lambda: contract_of_pq(rules="torchmetrics"),
    "ModifiedPanopticQuality": lambda: contract_of_pq(ModifiedPanopticQuality),
    "BoundaryPanopticQuality": lambda: contract_of_pq(BoundaryPanopticQuality),
    "MeanIoU": contract_of_mean_iou,
    "PartIoU": lambda: contract_of_part_pq(remapped_spec(), PartIoU),
}


@pytest.fixture(params=CONTRACTS)
def contract(request) -> ClassContract:
    return CONTRACTS[request.param]()


def test_compute_reset_merge_copies_and_modes(contract):
    contract.check()


def test_devices(contract, device):
    contract.check_device(device)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PanopticQuality", "PartPanopticQuality", "PartIoU"])
def test_two_processes_of_which_one_saw_no_image(name):
    CONTRACTS[name]().check_sync()


def test_sync_without_processes_changes_nothing(contract):
    before = contract.total.compute().as_dict()
    assert contract.total.sync().compute().as_dict() == before


def test_synced_without_processes_is_a_copy(contract):
    copy = contract.total.synced()
    assert same_state(copy, contract.total)
    copy.update(*contract.images[-1])
    assert not same_state(copy, contract.total)


def test_a_metric_shows_its_settings(contract):
    shown = repr(contract.make())
    assert shown.startswith(f"{type(contract.total).__name__}(")
    assert f"num_classes={len(contract.total.class_ids)}, validate=False" in shown


def test_metrics_of_other_classes_are_not_merged():
    spec = EvalSpec.load("cpp_default")
    pq, part_pq = PanopticQuality(spec), PartPanopticQuality(spec)
    with pytest.raises(ValueError, match="^other: .*PanopticQuality.*PartPanopticQuality"):
        pq.merge_state(part_pq)
    with pytest.raises(ValueError, match=r"^other: .*classes \(7, 8.*classes \(1, 2"):
        part_pq.merge_state(PartPanopticQuality(EvalSpec.load("ppp_default")))
    one, two = ([{"id": number, "name": "car", "isthing": 1}] for number in (1, 2))
    with pytest.raises(ValueError, match=r"^other: .*classes \(1,\) .* classes \(2,\)"):
        PanopticQuality(one).merge_state(PanopticQuality(two))
    stuff = [{"id": 1, "name": "car", "isthing": 0}]
    with pytest.raises(ValueError, match="^other: .*the same meaning of ids"):
        PanopticQuality([{"id": 1, "name": "car", "isthing": 1}]).merge_state(
            PanopticQuality(stuff)
        )


def test_a_metric_moves_with_the_module_that_holds_it():
    """Its state is part of a checkpoint; the tables of its spec are not."""
    model = torch.nn.ModuleDict({"metric": PartPanopticQuality(EvalSpec.load("cpp_default"))})
    assert list(model.parameters()) == []
    assert all(name.startswith("metric.") for name in model.state_dict())
    assert sum(value.numel() for value in model.state_dict().values()) < 200

"""Maps given as runs of pixels count like the maps themselves, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import (
    BoundaryPanopticQuality,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartPanopticQuality,
)
from pps_torch.io.image_runs import image_runs
from pps_torch.metrics.panoptic_rules import RULES
from tests.factories import CATEGORIES, panoptic_pair, pps_pair, specs

SPECS = specs()


def runs_of(*maps):
    """The runs of maps, each `(1, R)`, and their lengths, some runs in two, in another order."""
    values, lengths = image_runs(*maps)
    order = np.random.default_rng(0).permutation(2 * len(lengths))
    halves = np.concatenate([lengths // 2, lengths - lengths // 2])[order]
    return (
        *(torch.from_numpy(np.concatenate([v, v])[order])[None] for v in values),
        torch.from_numpy(halves)[None],
    )


def expect_equal(metric, other):
    expected = other.state_dict()
    for name, value in metric.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("kind", [PanopticQuality, ModifiedPanopticQuality])
@pytest.mark.parametrize("rules", RULES)
def test_runs_of_panoptic_maps(kind, rules):
    rng = np.random.default_rng(1)
    by_maps, by_runs, updated = (kind(CATEGORIES, rules=rules) for _ in range(3))
    for _ in range(15):
        pred_ids, pred_segments, gt_ids, gt_segments = panoptic_pair(rng, (9, 14))
        *runs, lengths = runs_of(pred_ids, gt_ids)
        for metric, pred, target in (
            (by_maps, torch.from_numpy(pred_ids), torch.from_numpy(gt_ids)),
            (by_runs, *runs),
        ):
            images = (
                PanopticSegmentation.from_segments(pred, pred_segments),
                PanopticTarget.from_segments(target, gt_segments),
            )
            if metric is by_maps:
                metric.update(*images)
            else:
                metric.add(metric.compare_runs(*images, lengths))
                updated.update_runs(*images, lengths)
    expect_equal(by_runs, by_maps)
    expect_equal(updated, by_maps)


@pytest.mark.parametrize("spec_name", SPECS)
def test_runs_of_pps_maps(spec_name):
    rng, spec = np.random.default_rng(2), SPECS[spec_name]
    by_maps, by_runs, updated = (PartPanopticQuality(spec) for _ in range(3))
    for _ in range(15):
        pps, uids = pps_pair(rng, (9, 14), spec)
        *channels, target, lengths = runs_of(*pps, uids)
        by_maps.update(torch.from_numpy(pps), torch.from_numpy(uids))
        runs = torch.stack([c[0] for c in channels])[:, None]
        by_runs.add(by_runs.compare_runs(runs, target, lengths))
        updated.update_runs(runs, target, lengths)
    expect_equal(by_runs, by_maps)
    expect_equal(updated, by_maps)


def test_runs_of_a_tiny_pps_map():
    """A road of four pixels, of which three are found."""
    metric = PartPanopticQuality(SPECS["cpp_default"], validate=True)
    pps = torch.tensor([[[7, 0]], [[0, 0]], [[1, 0]]])
    metric.update_runs(pps, torch.tensor([[7, 7]]), torch.tensor([[3, 1]]))
    assert metric.compute().classes[7].iou_sum == 0.75
    with pytest.raises(ValueError, match="lengths: expected 0 or more pixels, found -1"):
        metric.update_runs(pps, torch.tensor([[7, 7]]), torch.tensor([[3, -1]]))
    with pytest.raises(ValueError, match="the updates had .*uid"):
        metric.update_runs(pps, torch.tensor([[7, 123]]), torch.tensor([[3, 1]]))


def test_runs_on_a_tiny_map():
    """Three of four pixels of a person: IoU 3/4."""
    segments = [{"id": 1, "category_id": CATEGORIES[0]["id"]}]
    pred = PanopticSegmentation.from_segments(torch.tensor([[1, 0]]), segments)
    target = PanopticTarget.from_segments(torch.tensor([[1, 1]]), segments)
    metric = PanopticQuality(CATEGORIES)
    metric.add(metric.compare_runs(pred, target, torch.tensor([[3, 1]])))
    assert metric.compute().classes[CATEGORIES[0]["id"]].iou_sum == 0.75
    metric.compare_runs(pred, target, torch.tensor([[2**29, 2**29 - 1]]))
    for lengths, error, message in (
        (torch.tensor([[3, -1]]), ValueError, "lengths: expected 0 or more pixels, found -1"),
        (torch.tensor([[2**29, 2**29]]), ValueError, r"fewer than 2\*\*30 .* found 1073741824"),
        (
            torch.tensor([[2**63 - 1, 1]]),
            ValueError,
            r"lengths: expected fewer than 2\*\*30 pixels",
        ),
        (torch.tensor([3, 1]), ValueError, "lengths: expected shape"),
        (torch.tensor([[3, 1]]).int(), TypeError, "lengths: expected int64"),
        (torch.tensor([[3.0, 1]]), TypeError, "lengths: expected uint8 or a signed"),
    ):
        for call in (metric.compare_runs, metric.update_runs):
            with pytest.raises(error, match=message):
                call(pred, target, lengths)
    boundary = BoundaryPanopticQuality(CATEGORIES)
    for call in (boundary.compare_runs, boundary.update_runs):
        with pytest.raises(TypeError, match="runs have no edges"):
            call(pred, target, torch.tensor([[3, 1]]))

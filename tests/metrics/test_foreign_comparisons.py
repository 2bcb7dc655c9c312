"""A comparison counts only where its classes and rules do; a refused one leaves the state alone."""

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
    PartPanopticQuality,
)

IDS, INFO = torch.tensor([[1, 1, 2]]), [{"id": 1, "category_id": 7}, {"id": 2, "category_id": 26}]
PAIR = (PanopticSegmentation.from_segments(IDS, INFO), PanopticTarget.from_segments(IDS, INFO))
ROAD_AND_CAR = [{"id": 7, "name": "road", "isthing": 0}, {"id": 26, "name": "car", "isthing": 1}]
OTHERS = [*ROAD_AND_CAR[::-1], {"id": 27, "name": "truck", "isthing": 1}]


def is_empty(metric):
    return not any(state.any() for state in metric.state_dict().values())


@pytest.mark.parametrize(
    ("metric", "source", "message"),
    [
        (MeanIoU(OTHERS), PanopticQuality(ROAD_AND_CAR), "of the classes"),
        (PanopticQuality(OTHERS), PanopticQuality(ROAD_AND_CAR), "of the classes"),
        (
            PanopticQuality(ROAD_AND_CAR),
            PanopticQuality(ROAD_AND_CAR, rules="torchmetrics"),
            "by the rules",
        ),
        (
            ModifiedPanopticQuality(ROAD_AND_CAR, rules="deeplab2"),
            PanopticQuality(ROAD_AND_CAR),
            "by the rules",
        ),
        (
            BoundaryPanopticQuality(ROAD_AND_CAR),
            BoundaryPanopticQuality(ROAD_AND_CAR, dilation_ratio=0.1),
            "dilation_ratio 0.02, found 0.1",
        ),
        (
            PartPanopticQuality(EvalSpec.load("cpp_default")),
            PanopticQuality(EvalSpec.load("cpp_default")),
            "with parts",
        ),
    ],
)
def test_a_foreign_comparison_is_refused(metric, source, message):
    comparison = source.compare(*PAIR)
    with pytest.raises(ValueError, match=f"^comparison: expected one .*{message}"):
        metric.add(comparison)
    assert is_empty(metric)


def test_one_by_the_same_rules_counts():
    metric = PanopticQuality(ROAD_AND_CAR)
    metric.add(PanopticQuality(ROAD_AND_CAR).compare(*PAIR))
    mean_iou = MeanIoU(ROAD_AND_CAR)
    mean_iou.add(PanopticQuality(ROAD_AND_CAR, rules="torchmetrics").compare(*PAIR))
    assert metric.compute().summary["All"]["PQ"] == mean_iou.compute().summary["mIoU"] == 1


def test_a_metric_is_not_merged_into_itself():
    metric = PanopticQuality(ROAD_AND_CAR).update(*PAIR)
    before = metric.class_sums.clone()
    with pytest.raises(ValueError, match="^other: expected another metric"):
        metric.merge_state(metric)
    assert torch.equal(metric.class_sums, before)

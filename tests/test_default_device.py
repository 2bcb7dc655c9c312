"""Tensors on the CPU give the same while torch makes new ones elsewhere by default.

That is what `torch.set_default_device("cuda")` does; the device `meta` stands for it here.
"""

from __future__ import annotations

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
    merge_panoptic,
    merge_panoptic_boxes,
    merge_panoptic_centers,
    merge_panoptic_queries,
    merge_pps,
    visualization,
)
from pps_torch.visualization import colorblind, colors
from tests import factories
from tests.metrics.scenes import as_tensors

SIZE = (12, 16)
SPEC = EvalSpec.load("cpp_default")
CATEGORIES = factories.CATEGORIES
RNG = np.random.default_rng(3)


def tensors(arrays):
    return tuple(map(torch.from_numpy, arrays))


SEMANTIC, *DETECTIONS = tensors(factories.instances(RNG, SIZE, 5, [24, 26, 7]))
BOXES = tensors(factories.boxed_instances(RNG, SIZE, 5))
QUERIES = tensors(factories.queries(RNG, SIZE, 5, 3))
CENTERS = tensors(factories.centers(RNG, SIZE, 3))
PPS, UIDS = tensors(factories.pps_pair(RNG, SIZE, SPEC))
PRED, TARGET = as_tensors(factories.panoptic_pair(RNG, SIZE))
STUFF = {"stuff_ids": [7], "stuff_area_limit": 1}
LABELS = torch.tensor([[7, 26_001, 26_002, 0]])
INFOS = [{"id": 7, "category_id": 7}, {"id": 26_001, "category_id": 3, "isthing": True}]


def counted(kind, categories, pred, target, **settings):
    with torch.device("cpu"):
        metric = kind(categories, **settings)
    return tuple(metric.update(pred, target).state_dict().values())


def pictures():
    for kept in (colors._spec_paints, colors.default_colors, colorblind._farthest_colors):
        kept.cache_clear()
    gt_pps = visualization.ground_truth_pps(UIDS, SPEC)
    errors = visualization.error_map(PPS, gt_pps, SPEC)
    entries = visualization.pps_legend_entries(PPS, SPEC)
    entries += visualization.error_legend_entries(errors)
    uncolored = [{k: v for k, v in c.items() if k != "color"} for c in CATEGORIES]
    return (
        *(visualization.colorize_pps(PPS, SPEC, palette=p) for p in ("class", "colorblind")),
        *(visualization.colorize_panoptic(PRED, c) for c in (CATEGORIES, uncolored)),
        visualization.colorize_errors(errors),
        visualization.legend(entries, (200, 300)),
    )


WAYS = {
    "masks": lambda: merge_panoptic(SEMANTIC, *DETECTIONS, **STUFF),
    "boxes": lambda: merge_panoptic_boxes(SEMANTIC, *BOXES, *DETECTIONS[1:], **STUFF),
    "queries": lambda: merge_panoptic_queries(*QUERIES, thing_ids=[0], out_size=(7, 9)),
    "argmax": lambda: merge_panoptic_queries(
        *QUERIES, thing_ids=[0], category_ids=[7, 8, 9], paint="argmax"
    ),
    "centers": lambda: merge_panoptic_centers(*CENTERS, thing_ids=[0], stuff_area_limit=1),
    "pps": lambda: (merge_pps(PRED._replace(category_ids=PRED.category_ids + 23), UIDS, SPEC),),
    **{
        f"PQ {rules}": lambda rules=rules: counted(
            PanopticQuality, CATEGORIES, PRED, TARGET, rules=rules
        )
        for rules in ("coco", "panopticapi", "torchmetrics", "deeplab2")
    },
    "PQ-dagger": lambda: counted(ModifiedPanopticQuality, CATEGORIES, PRED, TARGET),
    "Boundary PQ": lambda: counted(BoundaryPanopticQuality, CATEGORIES, PRED, TARGET),
    "PartPQ": lambda: counted(PartPanopticQuality, SPEC, PPS, UIDS),
    "PartIoU": lambda: counted(PartIoU, SPEC, PPS, UIDS),
    "mIoU": lambda: counted(MeanIoU, SPEC, SEMANTIC, SEMANTIC),
    "from_labels": lambda: PanopticTarget.from_labels(LABELS, SPEC, encoding="uids"),
    "from_segments": lambda: PanopticSegmentation.from_segments(
        LABELS.clamp(max=26_001), INFOS, capacity=4
    ),
    "to_labels": lambda: (PRED.to_labels(1000),),
    "pictures": pictures,
}


@pytest.mark.parametrize("way", WAYS)
def test_inputs_say_where_the_work_is_done(way):
    expected = WAYS[way]()
    with torch.device("meta"):
        found = WAYS[way]()
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert one.device == other.device and torch.equal(one, other)

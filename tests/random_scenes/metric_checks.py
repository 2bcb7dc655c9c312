"""What every metric must say of a scene: the numbers of its slow rule in `tests/oracles`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from pps_torch import (
    BoundaryPanopticQuality,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PartIoU,
    PartPanopticQuality,
)
from pps_torch.metrics.boundary_panoptic_quality import boundary_distance
from tests.oracles import panoptic_rules
from tests.oracles.boundary_quality import boundary_quality
from tests.oracles.panoptic_quality import panoptic_quality
from tests.oracles.part_iou import mean_iou, quality_of_labels
from tests.oracles.part_panoptic_quality import part_panoptic_quality
from tests.random_scenes.compare import expect, expect_counts, expect_means
from tests.random_scenes.scenes import Scene, Setting, panoptic_tensors, tensors

RULES = ("panoptic_parts", "torchmetrics", "deeplab2")
PQ_KEYS = ("PQ", "SQ", "RQ")
NOTHING = [0.0, 0, 0, 0]

#: The rule of Boundary PQ takes too long for more segments than this.
MOST_BOUNDARIES = 12

#: In Triton's interpreter every instance id costs time. What is above is counted as a fault.
TWIN_CAPACITY = 64


@dataclass
class Check:
    """One metric.

    Attributes:
        make: makes it; takes `backend`.
        source: which of `inputs` it counts.
        verify: raises Mismatch unless its result is that of the rule.
        count: how it counts them.
        twins: what else `make` takes where Triton's interpreter is to count the same; None where
            another check has the same kernels.
    """

    make: Callable[..., Any]
    source: str
    verify: Callable[[Any, Scene], None]
    count: Callable[..., Any] = lambda metric, *inputs: metric.update(*inputs)
    twins: dict[str, int] | None = field(default_factory=dict)


def metric_checks(setting: Setting, block: int) -> dict[str, Check]:
    """The checks of the scenes of a block, by name; rules and widths of boundaries rotate."""
    rules, ratio = RULES[block % 3], (0.02, 0.1)[block % 2]
    categories, spec = setting.categories, setting.spec
    part_pq = partial(PartPanopticQuality, spec, capacity=setting.capacity)
    checks = {
        "PQ": Check(partial(ModifiedPanopticQuality, categories), "panoptic", verify_pq),
        "PQ alone": Check(partial(PanopticQuality, categories), "panoptic", verify_pq_alone),
        f"PQ, {rules}": Check(
            partial(ModifiedPanopticQuality, categories, rules=rules),
            "panoptic",
            partial(verify_pq, rules=rules),
        ),
        "Boundary PQ": Check(
            partial(BoundaryPanopticQuality, categories, dilation_ratio=ratio),
            "panoptic",
            partial(verify_boundary_pq, ratio=ratio),
        ),
        "mIoU": Check(partial(MeanIoU, categories, ignore_label=1000), "semantic", verify_mean_iou),
        "PartPQ": Check(part_pq, "parts", verify_part_pq, twins={"capacity": TWIN_CAPACITY}),
        "PartIoU": Check(partial(PartIoU, spec), "parts", verify_part_iou),
        "mIoU of PartPQ": Check(
            partial(MeanIoU, spec),
            "parts",
            verify_mean_iou_of_parts,
            _add_comparison(part_pq),
            twins=None,
        ),
    }
    if setting.num_ids > MOST_BOUNDARIES:
        del checks["Boundary PQ"]
    return checks


def inputs(
    scene: Scene, device: torch.device, capacity: int | None = None
) -> dict[str, tuple[Any, ...]]:
    """The arguments of the metrics, by what they show.

    Args:
        capacity: rows of the tables of segments; by default as many as there are segments.
    """
    pred, target = panoptic_tensors(scene.panoptic, capacity, device)
    return {
        "panoptic": (pred, target),
        "semantic": (_semantic(pred), _semantic(target)),
        "parts": tuple(tensors(scene.parts, device)),
    }


def verify_pq(result, scene: Scene, rules: str = "coco") -> None:
    categories = scene.setting.categories
    stuff = {c["id"] for c in categories if not c["isthing"]}
    if rules == "torchmetrics":
        stats = panoptic_rules.torchmetrics(*scene.panoptic, stuff)
    elif rules == "coco":
        stats = panoptic_quality(*scene.panoptic)
    else:
        stats = getattr(panoptic_rules, rules)(*scene.panoptic)
    for category, row in result.per_class.items():
        expect_counts(f"category {category}", row, PQ_KEYS, stats.get(category, NOTHING))
    for name, kinds in {"All": (0, 1), "Things": (1,), "Stuff": (0,)}.items():
        members = [c["id"] for c in categories if c["isthing"] in kinds]
        group = result.summary[name]
        expect_means(name, (group[key] for key in (*PQ_KEYS, "n")), stats, members)
    if rules in ("coco", "torchmetrics"):
        rule = getattr(panoptic_rules, f"dagger_by_{rules}")
        sums = rule(*scene.panoptic, stuff)
        for category in stuff:
            row, (iou, number) = result.per_class[category], sums.get(category, [0.0, 0])
            found = (row["overlap_iou"], row["gt_segments"], row["PQ_dagger"])
            expected = iou, number, iou / number if number else 0.0
            expect(f"category {category} PQ-dagger", found, expected, max(1, number))


def verify_pq_alone(result, scene: Scene) -> None:
    stats = panoptic_quality(*scene.panoptic)
    for category, row in result.per_class.items():
        expect_counts(f"category {category}", row, PQ_KEYS, stats.get(category, NOTHING))


def verify_boundary_pq(result, scene: Scene, ratio: float) -> None:
    stats = boundary_quality(*scene.panoptic, boundary_distance(*scene.setting.size, ratio))
    for category, row in result.per_class.items():
        iou, *counts = stats.get(category, NOTHING)
        found = (row[f"boundary_{key}"] for key in ("tp", "fp", "fn"))
        expect(f"category {category} boundary tp, fp, fn", found, counts)
        expect(f"category {category} boundary iou", [row["boundary_iou"]], [iou], max(1, counts[0]))


def verify_part_pq(result, scene: Scene) -> None:
    spec = scene.setting.spec
    stats = part_panoptic_quality(*scene.parts, spec)
    keys = ("PartPQ", "PartSQ", "PartRQ")
    for sid, row in result.per_class.items():
        expect_counts(f"class {sid}", row, keys, stats[sid])
    groups = (("", "n", spec.eval_sids), ("_parts", "n_p", spec.parts))
    for suffix, n, members in (*groups, ("_noparts", "n_np", spec.no_parts)):
        found = [result.summary[key + suffix] for key in keys]
        expect_means(suffix or "all", [*found, result.summary[n]], stats, members)


def verify_part_iou(result, scene: Scene) -> None:
    scenes, parts = scene.labels
    _expect_labels("class", result.per_class, scenes)
    _expect_labels("part", result.per_part, parts)
    expect("mIoU", (result.summary[key] for key in ("mIoU", "n")), mean_iou(scenes))
    expect("PartIoU", (result.summary[key] for key in ("PartIoU", "n_parts")), mean_iou(parts))


def verify_mean_iou_of_parts(result, scene: Scene) -> None:
    _expect_mean_iou(result, scene.labels[0])


def verify_mean_iou(result, scene: Scene) -> None:
    pred_ids, pred_segments, gt_ids, gt_segments = scene.panoptic
    pred, gt = ({s["id"]: s["category_id"] for s in half} for half in (pred_segments, gt_segments))
    pixels = zip(gt_ids.ravel().tolist(), pred_ids.ravel().tolist())
    _expect_mean_iou(result, [(gt[g], pred.get(p)) for g, p in pixels if g != 0])


def _expect_mean_iou(result, pairs: list[tuple]) -> None:
    _expect_labels("class", result.per_class, pairs)
    expect("mIoU", (result.summary[key] for key in ("mIoU", "n")), mean_iou(pairs))


def _expect_labels(what: str, rows: dict[int, dict], pairs: list[tuple]) -> None:
    expected = quality_of_labels(pairs)
    for label, row in rows.items():
        found = (row[key] for key in ("IoU", "precision", "recall"))
        expect(f"{what} {label}", found, expected.get(label, (float("nan"),) * 3))


def _semantic(segments) -> torch.Tensor:
    """Category ids of a panoptic map; void is 1000."""
    void = segments.category_ids.new_tensor([1000])
    return torch.cat([void, segments.category_ids])[segments.panoptic_seg.long()]


def _add_comparison(make_part_pq: Callable[..., PartPanopticQuality]) -> Callable[..., None]:
    def add(metric: MeanIoU, pps: torch.Tensor, uids: torch.Tensor) -> None:
        part_pq = make_part_pq().to(pps.device)
        metric.add(part_pq.compare(pps, uids))

    return add

"""Panoptic quality (PQ, SQ, RQ).

PQ of a class is the sum of the IoUs of its matches over `TP + FP / 2 + FN / 2`; SQ is that sum
over TP, RQ the rest (arXiv 1801.00868). Averages run over the classes that have any segment.

Parity: counts equal those of panopticapi's `pq_compute` (COCO; the Cityscapes script matches by
the same rules) and qualities agree to 1e-9, with two deliberate differences. The area of a
ground-truth segment is counted in the map, where panopticapi takes it from the JSON file. An
empty group (no things, say) has quality nan, where panopticapi divides by zero. The rules of other
implementations have names, see [`panoptic_rules`][pps_torch.metrics.panoptic_rules].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.checks import (
    check_bool,
    check_device,
    check_integer,
    check_ndim,
    check_shape,
)
from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.panoptic import check_container
from pps_torch.metrics.categories import GROUPS, checked_categories
from pps_torch.metrics.panoptic_rules import (
    PanopticRules,
    find_rules,
    match_by_rules,
    merge_stuff,
)
from pps_torch.metrics.segment_metric import (
    ClassCounts,
    SegmentComparison,
    SegmentMetric,
    mean_qualities,
)
from pps_torch.metrics.text_tables import percent, text_table, without_nan
from pps_torch.ops.counting.joint_counts import joint_counts
from pps_torch.ops.scoring.segment_classes import count_unclassed, segment_classes
from pps_torch.specs import EvalSpec

_FAULTS = (
    "pixels of pred with a segment id that has no row in its table",
    "pixels of target with a segment id that has no row in its table",
    "segments of pred of an unknown category",
    "segments of target of an unknown category",
)


@dataclass(frozen=True)
class PanopticQualityResult:
    """Panoptic quality of a data set; all qualities are fractions 0..1.

    Attributes:
        summary: `{"All" | "Things" | "Stuff": {"PQ", "SQ", "RQ", "n"}}`; n is the number of
            classes in the mean, and an n of 0 comes with nan.
        per_class: category id -> `name, isthing, PQ, SQ, RQ, iou, tp, fp, fn`; iou is a sum. A
            class without any segment has qualities 0 and is in no mean.
    """

    summary: dict[str, dict[str, float]]
    per_class: dict[int, dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: keys are strings, nan is None."""
        return without_nan({"summary": self.summary, "per_class": self.per_class})

    def table(self) -> str:
        """Aligned text, in per cent: the groups, then each class that is present."""
        groups = text_table(
            ("", "PQ", "SQ", "RQ", "n"),
            [
                (name, *(percent(group[key]) for key in ("PQ", "SQ", "RQ")), group["n"])
                for name, group in self.summary.items()
            ],
        )
        present = [c for c in self.per_class.values() if c["tp"] + c["fp"] + c["fn"]]
        classes = text_table(
            ("class", "PQ", "SQ", "RQ", "TP", "FP", "FN"),
            [
                (c["name"], *(percent(c[key]) for key in ("PQ", "SQ", "RQ")))
                + (c["tp"], c["fp"], c["fn"])
                for c in present
            ],
        )
        return f"{groups}\n\n{classes}"


class PanopticQuality(SegmentMetric):
    """Accumulates panoptic quality over batches, on the device of its state.

    Args:
        categories: COCO category dicts (`id`, `name`, `isthing`), or an
            `EvalSpec`, whose scene classes are the categories.
        rules: whose PQ it is: `"coco"`, `"cityscapes"`, `"panoptic_parts"`,
            `"torchmetrics"` or `"deeplab2"`, or a `PanopticRules`. Numbers by
            different rules do not compare; the first two are what is published.
        validate: raise at the update that meets a bad id; by default such pixels and segments
            are counted, and `compute` raises. Either way the state is spoilt until
            `reset`.
        backend: `"torch"`, `"triton"` or `"auto"`, which is Triton on CUDA; the same bits.

    Raises:
        TypeError: for a category id that is no integer.
        ValueError: for a category without those keys, a negative category id or one twice, or
            other rules or another backend.
        RuntimeError: at an update that `"triton"` cannot run.

    Example:
        >>> import torch
        >>> metric = PanopticQuality([{"id": 1, "name": "person", "isthing": 1}])
        >>> ids = torch.tensor([[1, 1, 0]])
        >>> pred = PanopticSegmentation.from_segments(ids, [{"id": 1, "category_id": 1}])
        >>> target = PanopticTarget.from_segments(ids, [{"id": 1, "category_id": 1}])
        >>> metric.update(pred, target).compute().summary["All"]["PQ"]
        1.0
    """

    category_ids: Tensor
    is_stuff_class: Tensor

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        rules: str | PanopticRules = "coco",
        validate: bool = False,
        backend: str = "auto",
    ) -> None:
        rules, categories = find_rules(rules), checked_categories(categories)
        ids = [category["id"] for category in categories]
        is_thing = tuple(bool(category["isthing"]) for category in categories)
        super().__init__(ids, (is_thing, rules), _FAULTS, validate, backend)
        self.rules, self.categories = rules, categories
        self.register_buffer("category_ids", torch.tensor(ids).long(), persistent=False)
        is_stuff = ~torch.tensor(is_thing, dtype=torch.bool)
        self.register_buffer("is_stuff_class", is_stuff, persistent=False)

    def update(self, pred: PanopticSegmentation, target: PanopticTarget) -> PanopticQuality:
        """Counts a batch of images.

        Args:
            pred: `panoptic_seg (*B, H, W)` and `category_ids (*B, S)` are used.
            target: a `PanopticTarget` of the same batch and size (its own capacity).

        Returns:
            self.

        Raises:
            TypeError, ValueError: for a wrong dtype, shape or device, naming the argument.
            ValueError: for bad ids, if `validate` is on.
            RuntimeError: if the state already holds all processes.
        """
        self._refuse_after_sync("update")
        self.add(self.compare(pred, target))
        return self

    def compare(self, pred: PanopticSegmentation, target: PanopticTarget) -> SegmentComparison:
        """What `update` counts, segment by segment; errors as there."""
        for name, value, kind in (
            ("pred", pred, PanopticSegmentation),
            ("target", target, PanopticTarget),
        ):
            check_container(name, value, kind)
            check_integer(f"{name}.panoptic_seg", value.panoptic_seg)
            check_ndim(f"{name}.panoptic_seg", value.panoptic_seg, 2, "(*B, H, W)")
            capacity = value.category_ids.shape[-1:]
            batch = value.panoptic_seg.shape[:-2]
            check_shape(f"{name}.category_ids", value.category_ids, (*batch, *capacity))
            check_integer(f"{name}.category_ids", value.category_ids)
            check_device(f"{name}.panoptic_seg", value.panoptic_seg, self.class_sums)
            check_device(f"{name}.category_ids", value.category_ids, self.class_sums)
        check_shape("target.panoptic_seg", target.panoptic_seg, tuple(pred.panoptic_seg.shape))
        check_shape("target.is_crowd", target.is_crowd, tuple(target.category_ids.shape))
        check_bool("target.is_crowd", target.is_crowd)
        check_device("target.is_crowd", target.is_crowd, self.class_sums)
        return self._compare(pred, target)

    def compute(self) -> PanopticQualityResult:
        """The qualities of everything counted so far.

        Raises:
            ValueError: if updates had bad segment ids or unknown categories, with numbers.
        """
        counts = self.class_counts()
        summary = {}
        for name, kinds in GROUPS.items():
            members = [
                c for c, category in zip(counts, self.categories) if category["isthing"] in kinds
            ]
            summary[name] = dict(zip(("PQ", "SQ", "RQ", "n"), mean_qualities(members)))
        per_class = {
            category["id"]: _class_row(category, c) for category, c in zip(self.categories, counts)
        }
        return PanopticQualityResult(summary, per_class)

    def _compare(self, pred: PanopticSegmentation, target: PanopticTarget) -> SegmentComparison:
        num_images = pred.panoptic_seg.shape[:-2].numel()
        num_pixels = pred.panoptic_seg.shape[-2:].numel()
        gt_map, pred_map = (s.panoptic_seg.reshape(num_images, num_pixels) for s in (target, pred))
        gt_class, pred_class = (
            segment_classes(
                s.category_ids.reshape(num_images, s.category_ids.shape[-1]),
                self.category_ids,
                backend=self.backend,
            )
            for s in (target, pred)
        )
        # The last row and column are the ids outside the tables, segments of no class.
        sizes = gt_class.shape[1] - 1, pred_class.shape[1] - 1
        joint = joint_counts(gt_map, pred_map, *sizes, backend=self.backend)
        is_crowd = F.pad(target.is_crowd.reshape(num_images, sizes[0] - 1), (1, 1))
        if self.rules.crowds == "instance":
            is_crowd = torch.zeros_like(is_crowd)
        if self.rules.merges_stuff:
            joint = merge_stuff(joint, gt_class, pred_class, self.is_stuff_class)
        matches = match_by_rules(
            joint, gt_class, pred_class, is_crowd, self.rules, backend=self.backend
        )
        # In the order of _FAULTS: unused rows of the two maps, then unknown categories.
        faults = torch.stack(
            [
                count_unclassed(pred_class, matches.pred_area, backend=self.backend),
                count_unclassed(gt_class, matches.gt_area, backend=self.backend),
            ],
            1,
        )
        return SegmentComparison(
            joint,
            matches,
            matches.iou,
            gt_class,
            pred_class,
            is_crowd,
            faults.flatten(),
            self.class_ids,
            self._fingerprint,
        )


def _class_row(category: Mapping[str, Any], counts: ClassCounts) -> dict[str, Any]:
    pq, sq, rq = counts.qualities()
    row = {"name": category["name"], "isthing": category["isthing"], "PQ": pq, "SQ": sq, "RQ": rq}
    return {**row, **counts._asdict()}

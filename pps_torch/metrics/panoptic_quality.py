"""Panoptic quality (PQ, SQ, RQ).

PQ of a class is the sum of the IoUs of its matches over ``TP + FP / 2 + FN / 2``; SQ is that sum
over TP, RQ the rest (arXiv 1801.00868). Averages run over the classes that have any segment.

Parity: counts equal those of panopticapi's ``pq_compute`` (COCO; the Cityscapes script matches by
the same rules) and qualities agree to 1e-9, with two deliberate differences. The area of a
ground-truth segment is counted in the map, where panopticapi takes it from the JSON file. An
empty group (no things, say) has quality nan, where panopticapi divides by zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.checks import (
    check_bool,
    check_device,
    check_integer,
    check_ndim,
    check_shape,
)
from pps_torch.metrics.report import percent, text_table, without_nan
from pps_torch.metrics.segment_metric import (
    ClassCounts,
    SegmentComparison,
    SegmentMetric,
    mean_qualities,
)
from pps_torch.ops.joint_counts import joint_counts
from pps_torch.ops.match_segments import match_segments
from pps_torch.ops.segment_classes import count_unclassed, segment_classes
from pps_torch.specs import EvalSpec

_FAULTS = (
    "pixels with a predicted segment id that has no row in the table",
    "pixels with a ground-truth segment id that has no row in the table",
    "predicted segments of an unknown category",
    "ground-truth segments of an unknown category",
)


@dataclass(frozen=True)
class PanopticQualityResult:
    """Panoptic quality of a data set; all qualities are fractions 0..1.

    Attributes:
        summary: ``{"All" | "Things" | "Stuff": {"PQ", "SQ", "RQ", "n"}}``; n is the number of
            classes in the mean, and an n of 0 comes with nan.
        per_class: category id -> ``name, isthing, PQ, SQ, RQ, iou, tp, fp, fn``; iou is a sum. A
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
        categories: COCO category dicts (``id``, ``name``, ``isthing``), or an
            :class:`EvalSpec`, whose scene classes are the categories.
        validate: raise at the update that meets a bad id; by default such pixels and segments
            are counted, and :meth:`compute` raises. Either way the state is spoilt until
            :meth:`reset`.
        backend: ``"torch"``, ``"triton"`` or ``"auto"``, which is Triton on CUDA; the same bits.

    Raises:
        ValueError: for a category without those keys, a negative category id or one twice, or
            another backend.
        RuntimeError: at an update that ``"triton"`` cannot run.

    Example:
        >>> import torch
        >>> metric = PanopticQuality([{"id": 1, "name": "person", "isthing": 1}])
        >>> ids = torch.tensor([[1, 1, 0]])
        >>> pred = PanopticSegmentation.from_segments(ids, [{"id": 1, "category_id": 1}])
        >>> target = PanopticTarget.from_segments(ids, [{"id": 1, "category_id": 1}])
        >>> metric.update(pred, target).compute().summary["All"]["PQ"]
        1.0
    """

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        validate: bool = False,
        backend: str = "auto",
    ) -> None:
        if isinstance(categories, EvalSpec):
            categories = categories.categories
        for category in categories:
            if {"id", "name", "isthing"} - set(category):
                raise ValueError(f"categories: expected keys id, name, isthing in {dict(category)}")
            if category["isthing"] not in (0, 1):
                raise ValueError(f"categories: expected isthing 0 or 1 in {dict(category)}")
        ids = [int(category["id"]) for category in categories]
        is_thing = tuple(bool(c["isthing"]) for c in categories)
        super().__init__(ids, is_thing, _FAULTS, validate, backend)
        self.categories = [dict(category) for category in categories]
        if len(set(ids)) != len(ids) or min(ids, default=0) < 0:
            raise ValueError(f"categories: expected each id once, and none negative, got {ids}")
        self.register_buffer("category_ids", torch.tensor(ids).long(), persistent=False)

    def update(self, pred: PanopticSegmentation, target: PanopticTarget) -> PanopticQuality:
        """Counts a batch of images.

        Args:
            pred: ``panoptic_seg (*B, H, W)`` and ``category_ids (*B, S)`` are used.
            target: a :class:`PanopticTarget` of the same batch and size (its own capacity).

        Returns:
            self.

        Raises:
            TypeError, ValueError: for a wrong dtype or shape, naming the argument.
        """
        self._refuse_after_sync("update")
        self.add(self.compare(pred, target))
        return self

    def compare(self, pred: PanopticSegmentation, target: PanopticTarget) -> SegmentComparison:
        """What :meth:`update` counts, segment by segment; errors as there."""
        for name, value in (("pred", pred), ("target", target)):
            check_integer(f"{name}.panoptic_seg", value.panoptic_seg)
            check_ndim(f"{name}.panoptic_seg", value.panoptic_seg, 2, "(*B, H, W)")
            capacity = value.category_ids.shape[-1:]
            batch = value.panoptic_seg.shape[:-2]
            check_shape(f"{name}.category_ids", value.category_ids, (*batch, *capacity))
            check_integer(f"{name}.category_ids", value.category_ids)
            check_device(f"{name}.panoptic_seg", value.panoptic_seg, self.class_sums)
        check_shape("target.panoptic_seg", target.panoptic_seg, tuple(pred.panoptic_seg.shape))
        check_shape("target.is_crowd", target.is_crowd, tuple(target.category_ids.shape))
        check_bool("target.is_crowd", target.is_crowd)
        return self._compare(pred, target)

    def compute(self) -> PanopticQualityResult:
        """The qualities of everything counted so far.

        Raises:
            ValueError: if updates had bad segment ids or unknown categories, with numbers.
        """
        counts = self.class_counts()
        groups = {"All": (0, 1), "Things": (1,), "Stuff": (0,)}
        summary = {}
        for name, kinds in groups.items():
            members = [
                c for c, category in zip(counts, self.categories) if category["isthing"] in kinds
            ]
            summary[name] = dict(zip(("PQ", "SQ", "RQ", "n"), mean_qualities(members)))
        per_class = {
            int(category["id"]): _class_row(category, c)
            for category, c in zip(self.categories, counts)
        }
        return PanopticQualityResult(summary, per_class)

    def _compare(self, pred: PanopticSegmentation, target: PanopticTarget) -> SegmentComparison:
        num_images = pred.panoptic_seg.shape[:-2].numel()
        num_pixels = pred.panoptic_seg.shape[-2:].numel()
        maps = [s.panoptic_seg.reshape(num_images, num_pixels) for s in (target, pred)]
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
        joint = joint_counts(*maps, *sizes, backend=self.backend)
        is_crowd = F.pad(target.is_crowd.reshape(num_images, sizes[0] - 1), (1, 1))
        matches = match_segments(
            joint, gt_class, pred_class, is_crowd, last_crowd_only=True, backend=self.backend
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
            joint, matches, matches.iou, gt_class, pred_class, is_crowd, faults.flatten()
        )


def _class_row(category: Mapping[str, Any], counts: ClassCounts) -> dict[str, Any]:
    pq, sq, rq = counts.qualities()
    row = {"name": category["name"], "isthing": category["isthing"], "PQ": pq, "SQ": sq, "RQ": rq}
    return {**row, **counts._asdict()}

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
from torch import Tensor

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.checks import (
    check_bool,
    check_device,
    check_integer,
    check_ndim,
    check_shape,
)
from pps_torch.metrics.matching import match_segments
from pps_torch.metrics.report import percent, text_table, without_nan
from pps_torch.metrics.segment_metric import ClassCounts, SegmentMetric, mean_qualities
from pps_torch.ops.index_of import index_of
from pps_torch.ops.pair_counts import pair_counts
from pps_torch.ops.pixel_runs import pixel_runs
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

    Raises:
        ValueError: for a category without those keys, or a category id twice.

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
        self, categories: Sequence[Mapping[str, Any]] | EvalSpec, *, validate: bool = False
    ) -> None:
        if isinstance(categories, EvalSpec):
            categories = categories.categories
        for category in categories:
            if {"id", "name", "isthing"} - set(category):
                raise ValueError(f"categories: expected keys id, name, isthing in {dict(category)}")
            if category["isthing"] not in (0, 1):
                raise ValueError(f"categories: expected isthing 0 or 1 in {dict(category)}")
        ids = [int(category["id"]) for category in categories]
        super().__init__(ids, tuple(bool(c["isthing"]) for c in categories), _FAULTS)
        self.categories = [dict(category) for category in categories]
        self.validate = validate
        if len(set(ids)) != len(ids):
            raise ValueError(f"categories: expected each id once, got {ids}")
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
        self._count(pred, target)
        if self.validate:
            self._raise_faults()
        return self

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

    def _count(self, pred: PanopticSegmentation, target: PanopticTarget) -> None:
        num_pixels = pred.panoptic_seg.shape[-2:].numel()
        num_images = pred.panoptic_seg.shape[:-2].numel()
        pred_class, pred_row = self._classes(pred.category_ids, num_images)
        gt_class, gt_row = self._classes(target.category_ids, num_images)
        runs = pixel_runs(
            pred.panoptic_seg.reshape(num_images, num_pixels),
            target.panoptic_seg.reshape(num_images, num_pixels),
        )
        pred_index, gt_index = (values.long() for values in runs.maps)
        pred_is_bad = _has_no_row(pred_index, runs.image, pred_row)
        gt_is_bad = _has_no_row(gt_index, runs.image, gt_row)
        pred_index = torch.where(pred_is_bad, 0, pred_index)
        gt_index = torch.where(gt_is_bad, 0, gt_index)
        joint = pair_counts(
            runs, gt_index, pred_index, gt_class.shape[1], pred_class.shape[1], num_images
        )
        is_crowd = target.is_crowd.reshape(num_images, gt_row.shape[1] - 1)
        is_crowd = torch.cat([torch.zeros_like(gt_row[:, :1]), is_crowd], 1)
        matches = match_segments(
            joint, gt_class, pred_class, is_crowd, _last_crowd_of_class(is_crowd, gt_class)
        )
        self._add_matches(matches, matches.iou, gt_class, pred_class)
        self._add_faults(
            (pred_is_bad * runs.lengths).sum(),
            (gt_is_bad * runs.lengths).sum(),
            (pred_row & (pred_class < 0))[:, 1:].sum(),
            (gt_row & (gt_class < 0))[:, 1:].sum(),
        )

    def _classes(self, category_ids: Tensor, num_images: int) -> tuple[Tensor, Tensor]:
        """Class index of each segment, -1 for void and unknown ones; and which rows are in use."""
        category_ids = category_ids.reshape(num_images, category_ids.shape[-1]).long()
        index = index_of(category_ids, self.category_ids)
        void = index.new_full((num_images, 1), -1)
        is_row = torch.cat([void < 0, category_ids >= 0], 1)
        return torch.cat([void, torch.where(category_ids >= 0, index, -1)], 1), is_row


def _has_no_row(index: Tensor, image: Tensor, is_row: Tensor) -> Tensor:
    """True for segment ids (R,) outside the table, or of one of its unused rows."""
    is_outside = (index < 0) | (index >= is_row.shape[1])
    return is_outside | ~is_row[image, torch.where(is_outside, 0, index)]


def _last_crowd_of_class(is_crowd: Tensor, gt_class: Tensor) -> Tensor:
    """The crowds that absorb false positives: panopticapi keeps the last one of a class."""
    capacity = gt_class.shape[1]
    is_later = torch.ones(capacity, capacity, dtype=torch.bool, device=gt_class.device).triu(1)
    same_class = gt_class[:, :, None] == gt_class[:, None, :]
    has_later = (same_class & is_later & is_crowd[:, None, :]).any(2)
    return is_crowd & ~has_later


def _class_row(category: Mapping[str, Any], counts: ClassCounts) -> dict[str, Any]:
    pq, sq, rq = counts.qualities()
    row = {"name": category["name"], "isthing": category["isthing"], "PQ": pq, "SQ": sq, "RQ": rq}
    return {**row, **counts._asdict()}

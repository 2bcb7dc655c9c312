"""Modified panoptic quality (PQ-dagger), with PQ itself from the same counts.

PQ-dagger (Porzi et al., Seamless Scene Segmentation, CVPR 2019, arXiv 1905.01220) spares stuff the
threshold of one half. For a stuff class it is the sum of the IoUs of all overlapping segments of
the class over the number of its ground-truth segments; predictions without ground truth cost
nothing. For a thing class it is PQ.

Parity: with `rules="torchmetrics"` it is torchmetrics' `ModifiedPanopticQuality`, to the
float32 of its IoUs; with other rules their void, crowds and pieces of stuff hold here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pps_torch.metrics.class_counts import iou_of_limbs, mean_of_present
from pps_torch.metrics.comparisons import SegmentComparison
from pps_torch.metrics.panoptic_quality import (
    PanopticClass,
    PanopticQuality,
    PanopticQualityResult,
    class_groups,
)
from pps_torch.metrics.panoptic_rules import PanopticRules, evaluated_pairs
from pps_torch.metrics.results import QualityMean
from pps_torch.metrics.text_tables import percent, text_table
from pps_torch.ops.scoring.overlap_ious import add_overlap_ious
from pps_torch.specs import EvalSpec


@dataclass(frozen=True)
class ModifiedQualityMean(QualityMean):
    """PQ and PQ-dagger of a group.

    Attributes:
        pq, sq, rq, n: see [`QualityMean`][pps_torch.metrics.results.QualityMean].
        pq_dagger: a fraction 0..1; nan where n_dagger is 0.
        n_dagger: number of classes in that mean: a stuff class counts there if the ground truth
            has it.
    """

    pq_dagger: float
    n_dagger: int

    def row(self) -> dict[str, float]:
        """The numbers by the keys of `summary`."""
        return {**super().row(), "PQ_dagger": self.pq_dagger, "n_dagger": self.n_dagger}


@dataclass(frozen=True)
class ModifiedPanopticClass(PanopticClass):
    """PQ and PQ-dagger of a class.

    Attributes:
        name, is_thing, pq, sq, rq, iou_sum, tp, fp, fn: see
            [`PanopticClass`][pps_torch.metrics.panoptic_quality.PanopticClass].
        pq_dagger: a fraction 0..1; nan for a class that is not in the mean.
        overlap_iou_sum: of stuff, the sum of the IoUs of all overlapping segments; None for things.
        gt_segments: of stuff, the number of ground-truth segments; None for things.
    """

    pq_dagger: float
    overlap_iou_sum: float | None
    gt_segments: int | None

    def row(self) -> dict[str, Any]:
        """The numbers by the keys of `per_class`; 0 for a class without segments."""
        row = super().row()
        row["PQ_dagger"] = 0.0 if math.isnan(self.pq_dagger) else self.pq_dagger
        if self.is_thing:
            return row
        return {**row, "overlap_iou": self.overlap_iou_sum, "gt_segments": self.gt_segments}


@dataclass(frozen=True, eq=False)
class ModifiedPanopticQualityResult(PanopticQualityResult):
    """PQ and PQ-dagger of a data set; all qualities are fractions 0..1.

    `value` is `all.pq_dagger`.

    Attributes:
        all, things, stuff: as for PQ, with `pq_dagger` and `n_dagger`, the number of classes in
            that mean: a stuff class counts there if the ground truth has it.
        classes: as for PQ, with `pq_dagger`, and for stuff `overlap_iou_sum` and `gt_segments`.
    """

    all: ModifiedQualityMean
    things: ModifiedQualityMean
    stuff: ModifiedQualityMean
    classes: Mapping[int, ModifiedPanopticClass]

    @property
    def value(self) -> float:
        """PQ-dagger of all classes."""
        return self.all.pq_dagger

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """As for PQ; each group also has `PQ_dagger` and `n_dagger`."""
        return super().summary

    @property
    def per_class(self) -> dict[int, dict[str, Any]]:
        """As for PQ, with `PQ_dagger`, and for stuff `overlap_iou`, a sum, and `gt_segments`."""
        return super().per_class

    def table(self) -> str:
        """Aligned text, in per cent: PQ-dagger of the groups, then the tables of PQ."""
        rows = [
            (label, percent(mean.pq_dagger), mean.n_dagger)
            for label, mean in zip(self._GROUPS.values(), self.groups().values())
        ]
        return f"{text_table(('', 'PQ-dagger', 'n'), rows)}\n\n{super().table()}"

    def flat(self) -> dict[str, float]:
        """As for PQ, with keys such as `"PQ_dagger/all"`."""
        return {**super().flat(), **self._flat({"pq_dagger": "PQ_dagger"})}


class ModifiedPanopticQuality(PanopticQuality):
    """PQ-dagger and PQ, accumulated over batches on the device of its state.

    For things PQ-dagger is PQ; for each class of stuff it is, over the whole data set,

        PQ-dagger = sum of the IoUs of all overlapping segments of the class
                    / number of its ground-truth segments

    Both come from one reading of the maps: it is a `PanopticQuality` with one more state,
    and it also takes what another one has compared by the same rules:
    `modified.add(panoptic_quality.compare(pred, target))`.

    Args:
        categories, rules, validate, backend: as for `PanopticQuality`. The sums of PQ-dagger
            are taken by torch operations on any backend, from the same pairs of segments.

    Example:
        A road of four pixels of which one is found: IoU 1/4, too little for a match.

        >>> import torch
        >>> from pps_torch import PanopticSegmentation, PanopticTarget
        >>> metric = ModifiedPanopticQuality([{"id": 7, "name": "road", "isthing": 0}])
        >>> segments = [{"id": 1, "category_id": 7}]
        >>> pred = PanopticSegmentation.from_segments(torch.tensor([[1, 0, 0, 0]]), segments)
        >>> target = PanopticTarget.from_segments(torch.tensor([[1, 1, 1, 1]]), segments)
        >>> result = metric.update(pred, target).compute()
        >>> road = result.classes[7]
        >>> road.overlap_iou_sum, road.gt_segments
        (0.25, 1)
        >>> road.pq_dagger, road.pq, result.all.pq_dagger
        (0.25, 0.0, 0.25)
    """

    overlap_sums: Tensor

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        rules: str | PanopticRules = "coco",
        validate: bool | None = False,
        backend: str = "auto",
    ) -> None:
        super().__init__(categories, rules=rules, validate=validate, backend=backend)
        self._add_state("overlap_sums", len(self.class_ids), 3)

    def add(self, comparison: SegmentComparison) -> ModifiedPanopticQuality:
        """Count a batch that `compare` has compared; errors as for `update`."""
        super().add(comparison)
        classes, is_crowd = (comparison.gt_class, comparison.pred_class), comparison.is_crowd
        add_overlap_ious(
            self.overlap_sums,
            evaluated_pairs(comparison.pairs, *classes, is_crowd, self.rules),
            *classes,
            (comparison.gt_class >= 0) & (comparison.matches.gt_area > 0) & ~is_crowd,
        )
        return self

    def compute(self) -> ModifiedPanopticQualityResult:
        """Compute the qualities of everything counted so far.

        Raises:
            ValueError: if updates had bad segment ids or unknown categories, with numbers.
        """
        result = super().compute()
        classes = {
            category_id: _with_dagger(c, *sums)
            for (category_id, c), sums in zip(result.classes.items(), self.overlap_sums.tolist())
        }
        means = {}
        for group, members in class_groups(classes).items():
            pq_dagger, n = mean_of_present(
                (c.pq_dagger, not math.isnan(c.pq_dagger)) for c in members
            )
            mean = vars(getattr(result, group))
            means[group] = ModifiedQualityMean(**mean, pq_dagger=pq_dagger, n_dagger=n)
        return ModifiedPanopticQualityResult(**means, classes=classes)


def _with_dagger(c: PanopticClass, upper: int, lower: int, number: int) -> ModifiedPanopticClass:
    """The PQ of a class with what PQ-dagger adds: IoUs in two limbs, and ground-truth segments."""
    if c.is_thing:
        dagger = {"pq_dagger": c.pq, "overlap_iou_sum": None, "gt_segments": None}
    else:
        iou = iou_of_limbs(upper, lower, number)
        quality = iou / number if number else math.nan
        dagger = {"pq_dagger": quality, "overlap_iou_sum": iou, "gt_segments": number}
    return ModifiedPanopticClass(**vars(c), **dagger)

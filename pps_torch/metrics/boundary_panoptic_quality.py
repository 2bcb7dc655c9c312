"""Boundary panoptic quality (Boundary PQ), with PQ itself from the same counts.

Boundary PQ (Cheng et al., Boundary IoU, CVPR 2021, arXiv 2103.16562) is PQ with another IoU: the
smaller one of the IoU of the masks and the IoU of their boundaries. The boundary of a mask is what
lies within `d = max(1, round(ratio * diagonal))` pixels of its contour, inside of it; the image
border is contour too. What excuses an unmatched prediction is the overlap of the masks.

Parity: the counts of boundary-iou-api, whose ratio is 0.02 for COCO and 0.005 for Cityscapes, with
one deliberate difference. There the interiors get the id of the highest category plus one, and a
segment with that id is spoilt; here no id is special.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pps_torch.checks import check_number
from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.metrics.categories import GROUPS
from pps_torch.metrics.panoptic_quality import PanopticQuality, PanopticQualityResult
from pps_torch.metrics.segment_metric import (
    BoundaryComparison,
    SegmentComparison,
    counts_of_sums,
    mean_qualities,
)
from pps_torch.metrics.text_tables import percent, text_table
from pps_torch.ops.counting.joint_counts import joint_counts
from pps_torch.ops.scoring.boundary_ids import boundary_ids
from pps_torch.ops.scoring.class_sums import add_to_class_sums
from pps_torch.ops.scoring.match_boundaries import match_boundaries
from pps_torch.specs import EvalSpec

_QUALITIES = ("BoundaryPQ", "BoundarySQ", "BoundaryRQ")


@dataclass(frozen=True)
class BoundaryPanopticQualityResult(PanopticQualityResult):
    """PQ and Boundary PQ of a data set; all qualities are fractions 0..1.

    Attributes:
        summary: as for PQ; each group also has `BoundaryPQ, BoundarySQ, BoundaryRQ`, means over
            the same n classes.
        per_class: as for PQ, with `BoundaryPQ, BoundarySQ, BoundaryRQ` and `boundary_iou,
            boundary_tp, boundary_fp, boundary_fn`.
    """

    def table(self) -> str:
        """Aligned text, in per cent: Boundary PQ of groups and classes, then the tables of PQ."""
        groups = [(name, group, group["n"]) for name, group in self.summary.items()]
        present = [c for c in self.per_class.values() if c["tp"] + c["fp"] + c["fn"]]
        names = ("tp", "fp", "fn")
        classes = [(c["name"], c, *(c[f"boundary_{name}"] for name in names)) for c in present]
        tables = [
            text_table(
                header,
                [
                    (name, *(percent(row[quality]) for quality in _QUALITIES), *counts)
                    for name, row, *counts in rows
                ],
            )
            for header, rows in (
                (("", *_QUALITIES, "n"), groups),
                (("class", *_QUALITIES, "TP", "FP", "FN"), classes),
            )
        ]
        return "\n\n".join([*tables, super().table()])


class BoundaryPanopticQuality(PanopticQuality):
    """Accumulates Boundary PQ and PQ over batches, on the device of its state.

    Matching follows `rules="coco"`, which are also those of Cityscapes.

    Args:
        categories, validate, backend: as for `PanopticQuality`. Boundaries are found by
            torch operations on any backend.
        dilation_ratio: the width of a boundary as a fraction of the image diagonal; 0.02 for COCO,
            0.005 for Cityscapes.

    Raises:
        ValueError: for a ratio that is not above 0, and as for `PanopticQuality`.

    Example:
        >>> import torch
        >>> from pps_torch import PanopticSegmentation, PanopticTarget
        >>> metric = BoundaryPanopticQuality([{"id": 1, "name": "person", "isthing": 1}])
        >>> segments, ids = [{"id": 1, "category_id": 1}], torch.zeros(20, 20, dtype=torch.long)
        >>> ids[2:18, 2:18] = 1
        >>> target = PanopticTarget.from_segments(ids, segments)
        >>> pred = PanopticSegmentation.from_segments(ids.roll(1, 1), segments)
        >>> result = metric.update(pred, target).compute().summary["All"]
        >>> f"{result['PQ']:.3f} {result['BoundaryPQ']:.3f}"
        '0.938 0.000'
    """

    boundary_sums: Tensor

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        dilation_ratio: float = 0.02,
        validate: bool = False,
        backend: str = "auto",
    ) -> None:
        check_number("dilation_ratio", dilation_ratio)
        if not 0 < dilation_ratio < math.inf:
            raise ValueError(f"dilation_ratio: expected a number above 0, got {dilation_ratio}")
        super().__init__(categories, validate=validate, backend=backend)
        self.dilation_ratio = dilation_ratio
        # Not in the fingerprint, so that PQ, too, can add what this class has compared.
        self._rules = (*self._rules, dilation_ratio)
        self._add_state("boundary_sums", len(self.class_ids), 5)

    def add(self, comparison: SegmentComparison) -> BoundaryPanopticQuality:
        """Counts a batch that `compare` has compared; errors as for `update`."""
        if comparison.boundaries is None:
            raise ValueError("comparison: expected one with boundaries, from this class' compare")
        matches, scores, dilation_ratio = comparison.boundaries
        if dilation_ratio != self.dilation_ratio:
            raise ValueError(
                f"comparison: expected one with dilation_ratio {self.dilation_ratio}, "
                f"got {dilation_ratio}"
            )
        super().add(comparison)
        classes = comparison.gt_class, comparison.pred_class
        add_to_class_sums(self.boundary_sums, matches, scores, *classes, backend=self.backend)
        return self

    def compute(self) -> BoundaryPanopticQualityResult:
        """The qualities of everything counted so far.

        Raises:
            ValueError: if updates had bad segment ids or unknown categories, with numbers.
        """
        result = super().compute()
        counts = dict(zip(result.per_class, counts_of_sums(self.boundary_sums)))
        summary = {}
        for name, kinds in GROUPS.items():
            members = [
                counts[category_id]
                for category_id, row in result.per_class.items()
                if row["isthing"] in kinds
            ]
            qualities = dict(zip(_QUALITIES, mean_qualities(members)))
            summary[name] = {**result.summary[name], **qualities}
        per_class = {}
        for category_id, row in result.per_class.items():
            c = counts[category_id]
            qualities = dict(zip(_QUALITIES, c.qualities()))
            numbers = {f"boundary_{key}": value for key, value in c._asdict().items()}
            per_class[category_id] = {**row, **qualities, **numbers}
        return BoundaryPanopticQualityResult(summary, per_class)

    def _compare(self, pred: PanopticSegmentation, target: PanopticTarget) -> SegmentComparison:
        masks = super()._compare(pred, target)
        height, width = pred.panoptic_seg.shape[-2:]
        distance = boundary_distance(height, width, self.dilation_ratio)
        gt, predicted = (
            boundary_ids(s.panoptic_seg.reshape(-1, height, width), distance).flatten(1)
            for s in (target, pred)
        )
        num_gt, num_pred = masks.gt_class.shape[1] - 1, masks.pred_class.shape[1] - 1
        matches, scores = match_boundaries(
            masks.matches,
            masks.joint,
            joint_counts(gt, predicted, num_gt, num_pred, backend=self.backend),
            masks.gt_class,
            masks.pred_class,
            masks.is_crowd,
            backend=self.backend,
        )
        return SegmentComparison(
            masks.joint,
            masks.matches,
            masks.scores,
            masks.gt_class,
            masks.pred_class,
            masks.is_crowd,
            masks.faults,
            masks.class_ids,
            masks.rules,
            boundaries=BoundaryComparison(matches, scores, self.dilation_ratio),
        )


def boundary_distance(height: int, width: int, dilation_ratio: float) -> int:
    """Width of the boundaries of an image in pixels, at least 1."""
    return max(1, round(dilation_ratio * math.sqrt(height**2 + width**2)))

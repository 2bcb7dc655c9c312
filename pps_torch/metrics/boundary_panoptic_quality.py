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
from pps_torch.metrics.class_counts import ClassCounts, counts_of_sums, mean_qualities
from pps_torch.metrics.comparisons import BoundaryComparison, SegmentComparison, check_comparison
from pps_torch.metrics.panoptic_quality import (
    PanopticClass,
    PanopticQuality,
    PanopticQualityResult,
    class_groups,
)
from pps_torch.metrics.results import QualityMean, quality_fields
from pps_torch.ops.scoring.boundary_ids import boundary_ids
from pps_torch.ops.scoring.class_sums import add_to_class_sums
from pps_torch.ops.scoring.match_boundaries import match_boundaries
from pps_torch.ops.scoring.segment_pairs import segment_pairs
from pps_torch.specs import EvalSpec

_BOUNDARY_QUALITIES = {
    "boundary_pq": "BoundaryPQ",
    "boundary_sq": "BoundarySQ",
    "boundary_rq": "BoundaryRQ",
}


@dataclass(frozen=True)
class BoundaryQualityMean(QualityMean):
    """PQ and Boundary PQ of a group; all means run over the same n classes.

    Attributes:
        pq, sq, rq, n: see [`QualityMean`][pps_torch.metrics.results.QualityMean].
        boundary_pq, boundary_sq, boundary_rq: fractions 0..1; nan where n is 0.
    """

    boundary_pq: float
    boundary_sq: float
    boundary_rq: float

    def row(self) -> dict[str, float]:
        """The numbers by the keys of `summary`."""
        boundary = {key: getattr(self, name) for name, key in _BOUNDARY_QUALITIES.items()}
        return {**super().row(), **boundary}


@dataclass(frozen=True)
class BoundaryPanopticClass(PanopticClass):
    """PQ and Boundary PQ of a class.

    Attributes:
        name, is_thing, pq, sq, rq, iou_sum, tp, fp, fn: see
            [`PanopticClass`][pps_torch.metrics.panoptic_quality.PanopticClass].
        boundary_pq, boundary_sq, boundary_rq: the same with the IoU of Boundary PQ.
        boundary_iou_sum, boundary_tp, boundary_fp, boundary_fn: the same.
    """

    boundary_pq: float
    boundary_sq: float
    boundary_rq: float
    boundary_iou_sum: float
    boundary_tp: int
    boundary_fp: int
    boundary_fn: int

    @property
    def boundary_counts(self) -> ClassCounts:
        """The sums from which the qualities of Boundary PQ follow."""
        return ClassCounts(
            self.boundary_iou_sum, self.boundary_tp, self.boundary_fp, self.boundary_fn
        )

    def row(self) -> dict[str, Any]:
        """The numbers by the keys of `per_class`; 0 for a class without segments."""
        counts = self.boundary_counts
        qualities = zip(_BOUNDARY_QUALITIES.values(), counts.qualities())
        sums = {f"boundary_{key}": value for key, value in counts._asdict().items()}
        return {**super().row(), **dict(qualities), **sums}


@dataclass(frozen=True, eq=False)
class BoundaryPanopticQualityResult(PanopticQualityResult):
    """PQ and Boundary PQ of a data set; all qualities are fractions 0..1.

    `value` is `all.boundary_pq`.

    Attributes:
        all, things, stuff: as for PQ, with `boundary_pq, boundary_sq, boundary_rq`, means over the
            same n classes.
        classes: as for PQ, with `boundary_pq, boundary_sq, boundary_rq` and `boundary_iou_sum,
            boundary_tp, boundary_fp, boundary_fn`.
    """

    all: BoundaryQualityMean
    things: BoundaryQualityMean
    stuff: BoundaryQualityMean
    classes: Mapping[int, BoundaryPanopticClass]

    @property
    def value(self) -> float:
        """Boundary PQ of all classes."""
        return self.all.boundary_pq

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """As for PQ; each group also has `BoundaryPQ, BoundarySQ, BoundaryRQ`."""
        return super().summary

    @property
    def per_class(self) -> dict[int, dict[str, Any]]:
        """As for PQ, with `BoundaryPQ, BoundarySQ, BoundaryRQ` and the counts behind them.

        Those are `boundary_iou`, a sum, `boundary_tp, boundary_fp, boundary_fn`.
        """
        return super().per_class

    def table(self) -> str:
        """Aligned text, in per cent: Boundary PQ of groups and classes, then the tables of PQ."""
        boundary = self._tables(_BOUNDARY_QUALITIES, prefix="boundary_")
        return f"{boundary}\n\n{super().table()}"

    def flat(self) -> dict[str, float]:
        """As for PQ, with keys such as `"BoundaryPQ/all"`."""
        return {**super().flat(), **self._flat(_BOUNDARY_QUALITIES)}


class BoundaryPanopticQuality(PanopticQuality):
    """Boundary PQ and PQ, accumulated over batches on the device of its state.

    Boundary PQ is PQ with another IoU, for matching and for the sum:

        IoU = min(IoU of the masks, IoU of their boundaries)

    where the boundary of a mask is what lies within max(1, round(ratio * image diagonal)) pixels
    of its contour, inside of it.

    Matching follows `rules="coco"`, which are also those of Cityscapes.

    Args:
        categories, validate, backend: as for `PanopticQuality`. Boundaries are found by
            torch operations on any backend.
        dilation_ratio: the width of a boundary as a fraction of the image diagonal; 0.02 for COCO,
            0.005 for Cityscapes.

    Raises:
        ValueError: for a ratio that is not above 0, and as for `PanopticQuality`.

    Example:
        A square of 6 x 6 pixels, found but for its two lowest rows: IoU 24/36. Its boundary, one
        pixel wide, has 20 pixels, that of the prediction 16, and they share 11: IoU 11/25.

        >>> import torch
        >>> from pps_torch import PanopticSegmentation, PanopticTarget
        >>> metric = BoundaryPanopticQuality([{"id": 1, "name": "person", "isthing": 1}])
        >>> segments, ids = [{"id": 1, "category_id": 1}], torch.zeros(12, 12, dtype=torch.long)
        >>> ids[3:9, 3:9] = 1
        >>> target = PanopticTarget.from_segments(ids, segments)
        >>> ids[7:] = 0
        >>> pred = PanopticSegmentation.from_segments(ids, segments)
        >>> person = metric.update(pred, target).compute().classes[1]
        >>> round(person.pq, 3), person.boundary_pq  # 24/36, and no match, as 11/25 is below 1/2
        (0.667, 0.0)
    """

    boundary_sums: Tensor

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        dilation_ratio: float = 0.02,
        validate: bool | None = False,
        backend: str = "auto",
    ) -> None:
        check_number("dilation_ratio", dilation_ratio)
        if not 0 < dilation_ratio < math.inf:
            raise ValueError(f"dilation_ratio: expected a number above 0, found {dilation_ratio}")
        super().__init__(categories, validate=validate, backend=backend)
        self.dilation_ratio = dilation_ratio
        # Not in the fingerprint, so that PQ, too, can add what this class has compared.
        self._rules = (*self._rules, dilation_ratio)
        self._add_state("boundary_sums", len(self.class_ids), 5)

    def add(self, comparison: SegmentComparison) -> BoundaryPanopticQuality:
        """Count a batch that `compare` has compared; errors as for `update`."""
        check_comparison(comparison, self.class_ids)
        if comparison.boundaries is None:
            raise ValueError("comparison: expected one with boundaries, from this class' compare")
        matches, scores, dilation_ratio = comparison.boundaries
        if dilation_ratio != self.dilation_ratio:
            raise ValueError(
                f"comparison: expected one with dilation_ratio {self.dilation_ratio}, "
                f"found {dilation_ratio}"
            )
        super().add(comparison)
        classes = comparison.gt_class, comparison.pred_class
        add_to_class_sums(self.boundary_sums, matches, scores, *classes, backend=self.backend)
        return self

    def compute(self) -> BoundaryPanopticQualityResult:
        """Compute the qualities of everything counted so far.

        Raises:
            ValueError: if updates had bad segment ids or unknown categories, with numbers.
        """
        result = super().compute()
        classes = {
            category_id: BoundaryPanopticClass(**vars(c), **quality_fields(counts, "boundary_"))
            for (category_id, c), counts in zip(
                result.classes.items(), counts_of_sums(self.boundary_sums)
            )
        }
        means = {}
        for group, members in class_groups(classes).items():
            *qualities, _ = mean_qualities(c.boundary_counts for c in members)
            numbers = {**vars(getattr(result, group)), **dict(zip(_BOUNDARY_QUALITIES, qualities))}
            means[group] = BoundaryQualityMean(**numbers)
        return BoundaryPanopticQualityResult(**means, classes=classes)

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "dilation_ratio": self.dilation_ratio}

    def compare_runs(
        self, pred: PanopticSegmentation, target: PanopticTarget, lengths: Tensor
    ) -> SegmentComparison:
        """Raise TypeError: runs have no boundaries."""
        raise TypeError(
            "compare_runs: expected maps of pixels for `compare`, as runs have no edges"
        )

    def _compare(self, pred: PanopticSegmentation, target: PanopticTarget) -> SegmentComparison:
        masks = super()._compare(pred, target)
        height, width = pred.panoptic_seg.shape[-2:]
        shape = len(masks.gt_class), height, width
        distance = boundary_distance(height, width, self.dilation_ratio)
        gt, predicted = (
            boundary_ids(s.panoptic_seg.reshape(shape), distance).flatten(1) for s in (target, pred)
        )
        num_gt, num_pred = masks.gt_class.shape[1], masks.pred_class.shape[1]
        matches, scores = match_boundaries(
            masks.matches,
            masks.pairs,
            segment_pairs(gt, predicted, num_gt, num_pred, backend=self.backend),
            masks.gt_class,
            masks.pred_class,
            masks.is_crowd,
            backend=self.backend,
        )
        boundaries = BoundaryComparison(
            matches=matches, scores=scores, dilation_ratio=self.dilation_ratio
        )
        # As `_replace`, which torch.compile of the oldest supported torch, 2.6, does not take.
        fields: dict[str, Any] = dict(zip(SegmentComparison._fields, masks))
        return SegmentComparison(**{**fields, "boundaries": boundaries})


def boundary_distance(height: int, width: int, dilation_ratio: float) -> int:
    """Width of the boundaries of an image in pixels, at least 1."""
    return max(1, round(dilation_ratio * math.sqrt(height**2 + width**2)))

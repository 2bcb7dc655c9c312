"""The base of the metrics that count segments: IoUs and TP, FP, FN of each class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from pps_torch.metrics.sum_metric import SumMetric
from pps_torch.ops.scoring.class_sums import add_to_class_sums
from pps_torch.ops.scoring.contract import LIMB_BITS, SegmentMatches

#: IoUs of fewer segments than this can be summed, see `iou_of_limbs`.
MAX_MATCHES = 1 << (63 - LIMB_BITS)


class ClassCounts(NamedTuple):
    """Sums of one class: IoU over the matches, and how many segments."""

    iou: float
    tp: int
    fp: int
    fn: int

    @property
    def is_present(self) -> bool:
        """Whether the class has any segment, and so counts in the averages."""
        return self.tp + self.fp + self.fn > 0

    def qualities(self) -> tuple[float, float, float]:
        """PQ, SQ and RQ as fractions; 0 for a class without segments."""
        denominator = self.tp + 0.5 * self.fp + 0.5 * self.fn
        if denominator == 0:
            return 0.0, 0.0, 0.0
        quality = self.iou / denominator
        return quality, self.iou / self.tp if self.tp else 0.0, self.tp / denominator


def mean_qualities(counts: Iterable[ClassCounts]) -> tuple[float, float, float, int]:
    """Mean PQ, SQ and RQ over the classes that are present, and their number n.

    nan where no class is present: an empty group has no quality. The sum is rounded once, so the
    means are the same for any order of classes and on every Python.
    """
    qualities = [c.qualities() for c in counts if c.is_present]
    n = len(qualities)
    if n == 0:
        return float("nan"), float("nan"), float("nan"), 0
    pq, sq, rq = (math.fsum(values) / n for values in zip(*qualities))
    return pq, sq, rq, n


class PartComparison(NamedTuple):
    """The part of a comparison that is about parts.

    Attributes:
        gt_parts, pred_parts: `(B, G, 256)`, `(B, P, 3, 256)` int32 pixels, as in
            [`part_overlaps`][pps_torch.ops.scoring.mean_part_iou.part_overlaps].
        has_parts: `(B, G)` bool, whether a match counts with the IoU of its parts.
        gt_keys, pred_keys: `(B, G)`, `(B, P)` int64, see
            [`PixelRules`][pps_torch.ops.scoring.contract.PixelRules].
        unknown_pixels: `(2,)` int64, pixels of the ground truth and of the prediction whose scene
            id is unknown; they were taken as void.
    """

    gt_parts: Tensor
    pred_parts: Tensor
    has_parts: Tensor
    gt_keys: Tensor
    pred_keys: Tensor
    unknown_pixels: Tensor


class BoundaryComparison(NamedTuple):
    """The part of a comparison that is about boundaries.

    Attributes:
        matches: what became of each segment by the rule of Boundary PQ.
        scores: `(B, G)` float64, the IoU that a match counts with.
        dilation_ratio: width of the boundaries, a fraction of the image's diagonal.
    """

    matches: SegmentMatches
    scores: Tensor
    dilation_ratio: float


class SegmentComparison(NamedTuple):
    """What became of each segment of a batch, before it is counted. Index 0 is void.

    Attributes:
        joint: `(B, G, P)` int32, pixels that two segments share.
        matches: what became of each segment.
        scores: `(B, G)` float64, the IoU that a match counts with.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64 class index, negative for none.
        is_crowd: `(B, G)` bool.
        faults: `(F,)` int64, what the rules do not cover, by the metric's `fault_names`.
        class_ids: what the class indices mean.
        rules: by which rules the segments were compared, as a text.
        parts: what only PartPQ counts.
        boundaries: what only Boundary PQ counts.
    """

    joint: Tensor
    matches: SegmentMatches
    scores: Tensor
    gt_class: Tensor
    pred_class: Tensor
    is_crowd: Tensor
    faults: Tensor
    class_ids: tuple[int, ...]
    rules: str
    parts: PartComparison | None = None
    boundaries: BoundaryComparison | None = None


SelfSegmentMetric = TypeVar("SelfSegmentMetric", bound="SegmentMetric")


class SegmentMetric(SumMetric):
    """Base of the metrics that count segments by class.

    An IoU is kept as an integer multiple of 2**-60 (exact for every IoU above 2**-7), split over
    two int64 sums, so that batches, processes and devices may be added in any order.

    To the states of `SumMetric`, whose arguments it takes, it adds `class_sums`
    `(C, 5)`: IoU in two limbs, TP, FP, FN. Two limbs hold the IoUs of 2**33 - 1 matches of a
    class, some eight billion; `compute` raises ValueError beyond.
    """

    class_sums: Tensor

    def __init__(
        self,
        class_ids: Sequence[int],
        rules: tuple[Any, ...],
        fault_names: Sequence[str],
        validate: bool,
        backend: str,
    ) -> None:
        super().__init__(class_ids, rules, fault_names, validate, backend)
        self._add_state("class_sums", len(self.class_ids), 5)

    def add(self: SelfSegmentMetric, comparison: SegmentComparison) -> SelfSegmentMetric:
        """Counts a batch that the metric's own `compare` has compared.

        Returns:
            the metric.

        Raises:
            ValueError: for a comparison of other classes or by other rules; for bad ids, if
                `validate` is on.
            RuntimeError: if the state already holds all processes.
        """
        self._refuse_after_sync("add")
        refuse_other_classes(comparison, self.class_ids)
        if comparison.rules != self._fingerprint:
            raise ValueError(
                f"comparison: expected one by the rules {self._fingerprint}, "
                f"got one by {comparison.rules}"
            )
        _, matches, scores, gt_class, pred_class, *_ = comparison
        add_to_class_sums(
            self.class_sums, matches, scores, gt_class, pred_class, backend=self.backend
        )
        self._add_faults(comparison.faults)
        return self

    def class_counts(self) -> list[ClassCounts]:
        """The sums of each class, in class order; leaves the device.

        Raises:
            ValueError: if an update met something that the rules do not cover, with numbers.
        """
        self._raise_faults()
        return counts_of_sums(self.class_sums)


def refuse_other_classes(comparison: SegmentComparison, class_ids: tuple[int, ...]) -> None:
    """Raises ValueError unless the class indices of a comparison mean `class_ids`."""
    if comparison.class_ids != class_ids:
        raise ValueError(
            f"comparison: expected one of the classes {class_ids}, got {comparison.class_ids}"
        )


def counts_of_sums(class_sums: Tensor) -> list[ClassCounts]:
    """The sums of each class as Python numbers, from `(C, 5)`; leaves the device."""
    return [
        ClassCounts(iou_of_limbs(upper, lower, tp), tp, fp, fn)
        for upper, lower, tp, fp, fn in class_sums.tolist()
    ]


def iou_of_limbs(upper: int, lower: int, number: int) -> float:
    """A sum of IoUs from its two limbs, rounded once.

    Args:
        number: of segments whose IoUs are summed; each adds 2**30 at most to each limb.

    Raises:
        ValueError: if the limbs may have passed 2**63.
    """
    if number >= MAX_MATCHES or min(upper, lower) < 0:
        raise ValueError(
            f"IoUs: expected those of fewer than 2**{63 - LIMB_BITS} segments of a class, "
            f"got {number}: their sum is not exact"
        )
    return ((upper << LIMB_BITS) + lower) / (1 << 2 * LIMB_BITS)

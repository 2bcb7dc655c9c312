"""The base of the metrics that count segments: IoUs and TP, FP, FN of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from torch import Tensor

from pps_torch.metrics.class_counts import ClassCounts, counts_of_sums
from pps_torch.metrics.comparisons import SegmentComparison, check_comparison
from pps_torch.metrics.former_names import accept_former_names
from pps_torch.metrics.segment_records import ImageRecord, image_records
from pps_torch.metrics.sum_metric import SumMetric
from pps_torch.ops.scoring.class_sums import add_to_class_sums

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
        validate: bool | None,
        backend: str,
    ) -> None:
        super().__init__(class_ids, rules, fault_names, validate, backend)
        self._add_state("class_sums", len(self.class_ids), 5)

    def compare(self, pred: Any, target: Any) -> SegmentComparison:
        """Compare the segments of a batch and count nothing; arguments, errors as for `update`."""
        raise NotImplementedError

    def add(self: SelfSegmentMetric, comparison: SegmentComparison) -> SelfSegmentMetric:
        """Count a batch that the metric's own `compare` has compared.

        Returns:
            the metric.

        Raises:
            TypeError: for what is no comparison.
            ValueError: for a comparison of other classes or by other rules; for bad ids, if they
                are looked at now, see `validate`.
            RuntimeError: if the state already holds all processes.
        """
        self._check_may_count("add")
        check_comparison(comparison, self.class_ids)
        if comparison.rules != self._rules_text:
            raise ValueError(
                f"comparison: expected one by the rules {self._rules_text}, "
                f"found one by {comparison.rules}"
            )
        add_to_class_sums(
            self.class_sums,
            comparison.matches,
            comparison.scores,
            comparison.gt_class,
            comparison.pred_class,
            backend=self.backend,
        )
        self._add_faults(comparison.faults)
        return self

    def record_segments(self, pred: Any, target: Any) -> list[ImageRecord]:
        """Count a batch and record what became of each segment, from the same counts.

        Counts of the records equal those that the metric adds, and so do the sums of the IoUs, to
        the last bit, as far as a float holds them. Verdicts and IoUs are those of the metric:
        PartPQ's, Boundary PQ's, and for PQ-dagger those of its PQ. This leaves the device.

        Args:
            pred, target: as for `update`.

        Returns:
            a record for each image of the batch, in the order of the flattened batch dimensions.

        Raises:
            TypeError, ValueError, RuntimeError: as `update` does.

        Example:
            >>> import torch
            >>> from pps_torch import EvalSpec, PartPanopticQuality
            >>> metric = PartPanopticQuality(EvalSpec.load("cpp_default"))
            >>> uids = torch.tensor([[7, 7, 26_001_02]])                    # road, a car
            >>> pps = torch.tensor([[[7, 7, 24]], [[0, 0, 1]], [[1, 1, 1]]])  # road, a person
            >>> (image,) = metric.record_segments(pps, uids)
            >>> [(s.class_id, s.verdict, s.taken_for) for s in image.segments if s.is_gt]
            [(7, 'tp', 7), (26, 'fn', 24)]
        """
        self._check_may_count("record_segments")
        comparison = self.compare(pred, target)
        self.add(comparison)
        return image_records(comparison)

    def segment_maps(self, pred: Any, target: Any) -> tuple[Tensor, Tensor]:
        """Maps of the segments, by the `index` of their records; counts nothing.

        Args:
            pred, target: as for `update`.

        Returns:
            prediction and ground truth, `(*B, H, W)` integers, 0 is void. Where the rules take all
            stuff of a class as one segment, the maps still have them apart.
        """
        raise NotImplementedError

    def class_counts(self) -> list[ClassCounts]:
        """The sums of each class, in class order; leaves the device.

        Raises:
            ValueError: if an update met something that the rules do not cover, with numbers.
        """
        self._raise_faults()
        return counts_of_sums(self.class_sums)


@accept_former_names(gt="target")
def record_segments(metric: SegmentMetric, pred: Any, target: Any) -> list[ImageRecord]:
    """Call the method `record_segments` of a metric.

    See [`SegmentMetric.record_segments`][pps_torch.metrics.segment_metric.SegmentMetric].
    """
    return _checked_metric(metric).record_segments(pred, target)


@accept_former_names(gt="target")
def segment_maps(metric: SegmentMetric, pred: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Call the method `segment_maps` of a metric.

    See [`SegmentMetric.segment_maps`][pps_torch.metrics.segment_metric.SegmentMetric].
    """
    return _checked_metric(metric).segment_maps(pred, target)


def _checked_metric(metric: SegmentMetric) -> SegmentMetric:
    if not isinstance(metric, SegmentMetric):
        raise TypeError(
            f"metric: expected one that counts segments, found a {type(metric).__name__}"
        )
    return metric

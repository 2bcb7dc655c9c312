"""The base of the metrics: integer sums per class, exact in any order of adding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pps_torch.ops.class_sums import LIMB_BITS, add_to_class_sums
from pps_torch.ops.dispatch import check_backend
from pps_torch.ops.match_segments import SegmentMatches


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

    nan where no class is present: an empty group has no quality.
    """
    qualities = [c.qualities() for c in counts if c.is_present]
    n = len(qualities)
    if n == 0:
        return float("nan"), float("nan"), float("nan"), 0
    pq, sq, rq = (sum(values) / n for values in zip(*qualities))
    return pq, sq, rq, n


class PartComparison(NamedTuple):
    """The part of a comparison that is about parts.

    Attributes:
        gt_parts, pred_parts: ``(B, G, 256)``, ``(B, P, 3, 256)`` int32 pixels, as in
            :func:`~pps_torch.ops.part_iou.part_overlaps`.
        has_parts: ``(B, G)`` bool, whether a match counts with the IoU of its parts.
        gt_keys, pred_keys: ``(B, G)``, ``(B, P)`` int64, see
            :class:`~pps_torch.ops.part_pixels.PixelRules`.
        unknown_pixels: scalar int64, predicted pixels that were taken as void.
    """

    gt_parts: Tensor
    pred_parts: Tensor
    has_parts: Tensor
    gt_keys: Tensor
    pred_keys: Tensor
    unknown_pixels: Tensor


class SegmentComparison(NamedTuple):
    """What became of each segment of a batch, before it is counted. Index 0 is void.

    Attributes:
        joint: ``(B, G, P)`` int32, pixels that two segments share.
        matches: what became of each segment.
        scores: ``(B, G)`` float64, the IoU that a match counts with.
        gt_class, pred_class: ``(B, G)``, ``(B, P)`` int64 class index, negative for none.
        is_crowd: ``(B, G)`` bool.
        faults: ``(F,)`` int64, what the rules do not cover, by the metric's ``fault_names``.
        parts: what only PartPQ counts.
    """

    joint: Tensor
    matches: SegmentMatches
    scores: Tensor
    gt_class: Tensor
    pred_class: Tensor
    is_crowd: Tensor
    faults: Tensor
    parts: PartComparison | None = None


class SegmentMetric(nn.Module):
    """Base of the metrics: counts per class that add up to the same bits in any order.

    An IoU is kept as an integer multiple of 2**-60 (exact for every IoU above 2**-7), split over
    two int64 sums, so that batches, processes and devices may be added in any order.

    The state is a few int64 buffers: ``class_sums`` ``(C, 5)`` (IoU in two limbs, TP, FP, FN) and
    ``faults``, the inputs that the rules do not cover, by the kinds in ``fault_names``; a
    subclass may add more with :meth:`_add_state`.

    Args:
        class_ids: ids of the classes, in class order.
        rules: what else the counts depend on; states add up only where it is equal.
        fault_names: kinds of inputs that the rules do not cover.
        validate: raise at the update that meets such inputs.
        backend: what counts: ``"torch"``, ``"triton"``, or ``"auto"``, which is Triton on CUDA
            where it is installed. All give the same bits.
    """

    class_sums: Tensor
    faults: Tensor

    def __init__(
        self,
        class_ids: Sequence[int],
        rules: tuple[Any, ...],
        fault_names: Sequence[str],
        validate: bool,
        backend: str,
    ) -> None:
        check_backend(backend)
        super().__init__()
        self.validate = validate
        self.backend = backend
        self.class_ids = tuple(class_ids)
        self.fault_names = tuple(fault_names)
        self._rules = rules
        self._state_names: list[str] = []
        self._is_synced = False
        self._add_state("class_sums", len(self.class_ids), 5)
        self._add_state("faults", len(self.fault_names))

    def add(self, comparison: SegmentComparison) -> None:
        """Counts a batch that the metric's own ``compare`` has compared.

        Raises:
            ValueError: for bad ids, if ``validate`` is on.
            RuntimeError: if the state already holds all processes.
        """
        self._refuse_after_sync("update")
        _, matches, scores, *classes = comparison[:5]
        add_to_class_sums(self.class_sums, matches, scores, *classes, backend=self.backend)
        self.faults += comparison.faults
        if self.validate:
            self._raise_faults()

    def reset(self) -> SegmentMetric:
        """Forgets everything."""
        for state in self._states():
            state.zero_()
        self._is_synced = False
        return self

    def merge_state(self, other: SegmentMetric) -> SegmentMetric:
        """Adds what another metric has counted for the same classes by the same rules.

        Raises:
            ValueError: if it counts other classes, or maps ids otherwise.
            RuntimeError: if one of the two already holds all processes.
        """
        if (
            type(self) is not type(other)
            or self.class_ids != other.class_ids
            or self._rules != other._rules
        ):
            raise ValueError(
                f"other: expected a {type(self).__name__} of the classes {self.class_ids} with "
                f"the same meaning of ids, got a {type(other).__name__} of the classes "
                f"{getattr(other, 'class_ids', None)}"
            )
        self._refuse_after_sync("merge_state")
        other._refuse_after_sync("merge_state")
        for state, others in zip(self._states(), other._states()):
            state += others.to(state.device)
        return self

    def sync(self, group: dist.ProcessGroup | None = None) -> SegmentMetric:
        """Adds up the states of all processes with one all_reduce; each then has the total.

        Does nothing without ``torch.distributed``. After it, only ``compute`` and ``reset`` make
        sense: a further update would be counted once for every process.
        """
        self._refuse_after_sync("sync")
        if dist.is_available() and dist.is_initialized():
            states = self._states()
            total = torch.cat([state.flatten() for state in states])
            dist.all_reduce(total, group=group)
            sizes = [state.numel() for state in states]
            for state, summed in zip(states, total.split(sizes)):
                state.copy_(summed.view_as(state))
            self._is_synced = True
        return self

    def class_counts(self) -> list[ClassCounts]:
        """The sums of each class, in class order; leaves the device.

        Raises:
            ValueError: if an update met something that the rules do not cover, with numbers.
        """
        self._raise_faults()
        return [
            ClassCounts(((upper << LIMB_BITS) + lower) / (1 << 2 * LIMB_BITS), tp, fp, fn)
            for upper, lower, tp, fp, fn in self.class_sums.tolist()
        ]

    def _add_state(self, name: str, *shape: int) -> None:
        """A buffer of int64 sums that is reset, merged, synced and saved with the others."""
        with torch.inference_mode(False):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int64))
        self._state_names.append(name)

    def _states(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._state_names]

    def _raise_faults(self) -> None:
        faults = dict(zip(self.fault_names, self.faults.tolist()))
        found = [f"{number} {name}" for name, number in faults.items() if number]
        if found:
            raise ValueError(f"{type(self).__name__}: the updates had {'; '.join(found)}")

    def _refuse_after_sync(self, what: str) -> None:
        if self._is_synced:
            raise RuntimeError(f"{what}: the state already holds all processes; call reset() first")

"""The base of the metrics: integer sums per class, exact in any order of adding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pps_torch.metrics.matching import SegmentMatches

_LIMB = 1 << 30


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
    """

    class_sums: Tensor
    faults: Tensor

    def __init__(
        self, class_ids: Sequence[int], rules: tuple[Any, ...], fault_names: Sequence[str]
    ) -> None:
        super().__init__()
        self.class_ids = tuple(class_ids)
        self.fault_names = tuple(fault_names)
        self._rules = rules
        self._state_names: list[str] = []
        self._is_synced = False
        self._add_state("class_sums", len(self.class_ids), 5)
        self._add_state("faults", len(self.fault_names))

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
            ClassCounts((upper * _LIMB + lower) / _LIMB**2, tp, fp, fn)
            for upper, lower, tp, fp, fn in self.class_sums.tolist()
        ]

    def _add_matches(
        self, matches: SegmentMatches, scores: Tensor, gt_class: Tensor, pred_class: Tensor
    ) -> None:
        """Adds the matches of a batch; ``scores (B, G + 1)`` float64 in 0..1 are their IoUs."""
        upper = (scores * _LIMB).floor()
        lower = ((scores * _LIMB - upper) * _LIMB).round()
        of_gt = [upper.long(), lower.long(), matches.is_tp, torch.zeros_like(matches.is_tp)]
        self._add(gt_class, torch.stack([v.long() for v in (*of_gt, matches.is_fn)], -1))
        zeros = torch.zeros_like(matches.is_fp)
        of_pred = [zeros, zeros, zeros, matches.is_fp, zeros]
        self._add(pred_class, torch.stack(of_pred, -1).long())

    def _add(self, class_index: Tensor, values: Tensor) -> None:
        """Adds rows ``(B, S, 5)`` to their classes ``(B, S)``; class -1 takes nothing."""
        num_classes = len(self.class_sums)
        sums = self.class_sums.new_zeros(num_classes + 1, 5)
        rows = torch.where(class_index >= 0, class_index, num_classes).reshape(-1)
        sums.index_add_(0, rows, values.reshape(-1, 5))
        self.class_sums += sums[:num_classes]

    def _add_state(self, name: str, *shape: int) -> None:
        """A buffer of int64 sums that is reset, merged, synced and saved with the others."""
        with torch.inference_mode(False):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int64))
        self._state_names.append(name)

    def _states(self) -> list[Tensor]:
        return [getattr(self, name) for name in self._state_names]

    def _add_faults(self, *numbers: Tensor) -> None:
        self.faults += torch.stack(numbers)

    def _raise_faults(self) -> None:
        faults = dict(zip(self.fault_names, self.faults.tolist()))
        found = [f"{number} {name}" for name, number in faults.items() if number]
        if found:
            raise ValueError(f"{type(self).__name__}: the updates had {'; '.join(found)}")

    def _refuse_after_sync(self, what: str) -> None:
        if self._is_synced:
            raise RuntimeError(f"{what}: the state already holds all processes; call reset() first")

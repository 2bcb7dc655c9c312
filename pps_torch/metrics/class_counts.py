"""IoU, TP, FP and FN of a class, and PQ, SQ, RQ and their means, which follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from pps_torch.ops.scoring.contract import LIMB_BITS

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
        """Whether the class has any TP, FP or FN, and so counts in the averages."""
        return self.tp + self.fp + self.fn > 0

    def qualities(self) -> tuple[float, float, float]:
        """PQ, SQ and RQ as fractions; 0 for a class without segments.

        `PQ = iou / (tp + fp / 2 + fn / 2)`, which is `SQ = iou / tp` times `RQ`, the rest.
        """
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
        return math.nan, math.nan, math.nan, 0
    pq, sq, rq = (math.fsum(values) / n for values in zip(*qualities))
    return pq, sq, rq, n


def mean_of_present(values: Iterable[tuple[float, bool]]) -> tuple[float, int]:
    """Mean of the values that are present, its sum rounded once, and their number; nan for none."""
    present = [value for value, is_present in values if is_present]
    return (math.fsum(present) / len(present) if present else math.nan), len(present)


def counts_of_sums(class_sums: Tensor) -> list[ClassCounts]:
    """The sums of each class as Python numbers, from `(C, 5)`; leaves the device."""
    return [
        ClassCounts(iou_of_limbs(upper, lower, tp), tp, fp, fn)
        for upper, lower, tp, fp, fn in class_sums.tolist()
    ]


def iou_of_limbs(upper: int, lower: int, number: int) -> float:
    """A sum of IoUs from its two limbs, rounded once.

    Args:
        upper, lower: the limbs, see [`add_to_class_sums`][pps_torch.ops.scoring.class_sums].
        number: of segments whose IoUs are summed; each adds 2**30 at most to each limb.

    Raises:
        ValueError: if the limbs may have passed 2**63.
    """
    if number >= MAX_MATCHES or min(upper, lower) < 0:
        raise ValueError(
            f"IoUs: expected those of fewer than 2**{63 - LIMB_BITS} segments of a class, "
            f"found {number}: their sum is not exact"
        )
    return ((upper << LIMB_BITS) + lower) / (1 << 2 * LIMB_BITS)

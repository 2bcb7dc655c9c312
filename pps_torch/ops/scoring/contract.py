"""What the torch versions and the kernels of scoring share: reserved ids, bits, inputs, outputs."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

#: An IoU is an integer multiple of 2**-60, split over two sums of 30 bits each.
LIMB_BITS = 30

#: A part label's IoU is cut to a multiple of 2**-54, so that the order of the sum cannot matter.
FRACTION_BITS = 54

#: Instead of a class index: void, a segment of an unknown category, and a row in no use.
VOID, UNKNOWN, UNUSED = -1, -2, -3

#: Part labels that are told apart: 0..255, what a PPS map stores in a byte.
NUM_PART_LABELS = 256

#: Where a pixel of a matched prediction lies, seen from the ground-truth segment.
OUTSIDE, SAME_PART, OTHER_PART = range(3)

#: The kinds of faults that marking counts.
FAULTS = (
    "pixels of target with a negative or three-digit uid",
    "pixels of target with an instance id above the capacity, {capacity}",
    "pixels of pred with an instance id outside 0..{capacity}",
)


class PixelRules(NamedTuple):
    """How the ids of a pixel become segment keys and parts. Tensors as in `DatasetLookups`.

    A segment's key is 0 for none, else `1 + group * (capacity + 2) + slot`, with the class in
    place of the group for predictions. The slot is the instance id, 0 where it is absent, or, for
    the crowd of a thing group, its pixels without instance id, the last: `capacity + 1`.
    """

    group_of_sid: Tensor
    is_thing_group: Tensor
    part_of_sid_pid: Tensor
    class_of_eval_sid: Tensor
    has_parts_class: Tensor
    capacity: int
    ignore_label: int

    def num_keys(self) -> tuple[int, int]:
        """Keys of the ground truth and of the prediction, 0 included."""
        num_ids = self.capacity + 2
        return 1 + len(self.is_thing_group) * num_ids, 1 + len(self.has_parts_class) * num_ids


class SegmentMarks(NamedTuple):
    """Which segments are present.

    Attributes:
        gt, pred: `(B, K)` bool, by key.
        faults: `(3,)` int64 pixels, by `FAULTS`.
        num_unknown: `(2,)` int64, ground-truth pixels with a scene id that the data set does not
            have, and predicted pixels with one that is neither a class nor void.
    """

    gt: Tensor
    pred: Tensor
    faults: Tensor
    num_unknown: Tensor

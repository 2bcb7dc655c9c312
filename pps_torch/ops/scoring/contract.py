"""What both versions of a scoring operation agree on: reserved ids, bits, inputs and outputs."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from pps_torch.reserved import PPS_VOID

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

#: Cells of a table of pairs of segments, of one image: 2,048 segments of either map. The table of
#: int32 takes 16 MiB, and the three columns of int64 that list its pairs 96 MiB beside it.
MAX_TABLE_CELLS = 1 << 22

#: The kinds of faults that marking counts, and then those of numbering the segments.
PIXEL_FAULTS = (
    "pixels of target with a negative or three-digit uid",
    "pixels of target with an instance id above the capacity, {capacity}",
    "pixels of pred with an instance id outside 0..{capacity}",
    "pixels of pred with a part outside 0..255",
)
SEGMENT_FAULTS = (
    "segments of target above the capacity, {capacity}",
    "segments of pred above the capacity, {capacity}",
)


def is_predicted_void(sids: Tensor, ignore_label: int) -> Tensor:
    """Whether scene ids of a PPS map mean void: 0, 255 or the spec's own; bool of their shape."""
    return (sids == 0) | (sids == PPS_VOID) | (sids == ignore_label)


class PixelTables(NamedTuple):
    """Tables that the ids of a pixel are looked up in.

    Attributes:
        group_of_sid, part_of_sid_pid, class_of_eval_sid, has_parts_class: as in `DatasetLookups` of
            `pps_torch.specs.lookups`.
        is_thing_group, class_of_group: `(G,)` bool and int64, by group.
    """

    group_of_sid: Tensor
    is_thing_group: Tensor
    class_of_group: Tensor
    part_of_sid_pid: Tensor
    class_of_eval_sid: Tensor
    has_parts_class: Tensor


class PixelRules(NamedTuple):
    """Rules that turn the ids of a pixel into segment keys and parts.

    A segment's key is 0 for none, else `1 + group * (capacity + 2) + slot`, with the class in
    place of the group for predictions. The slot is the instance id, 0 where it is absent, or, for
    the crowd of a thing group, its pixels without instance id, the last: `capacity + 1`.

    Attributes:
        tables: what the ids mean.
        capacity: the highest instance id.
        ignore_label: a predicted scene id or part id that is void, besides the reserved ones.
    """

    tables: PixelTables
    capacity: int
    ignore_label: int

    def num_keys(self) -> tuple[int, int]:
        """Number of keys of the ground truth and of the prediction, 0 included.

        They are rounded up to multiples of 16, so that Triton reads rows of marks 16 at a time.
        """
        num_slots = self.capacity + 2
        num_groups = self.tables.is_thing_group.shape[0]
        num_classes = self.tables.has_parts_class.shape[0]
        num_gt, num_pred = (-(-(1 + n * num_slots) // 16) * 16 for n in (num_groups, num_classes))
        return num_gt, num_pred


class SegmentMarks(NamedTuple):
    """Marks of the segments that are present.

    Attributes:
        gt, pred: `(B, K)` bool, by key.
        is_labelled: `(B, K)` bool, by key of the ground truth: segments that have any part label.
        faults: `(4,)` int64 pixels, by `PIXEL_FAULTS`.
        num_unknown: `(2,)` int64, ground-truth pixels with a scene id that the data set does not
            have, and predicted pixels with one that is neither a class nor void.
    """

    gt: Tensor
    pred: Tensor
    is_labelled: Tensor
    faults: Tensor
    num_unknown: Tensor


class DenseIndices(NamedTuple):
    """Numbering of the keys that are present in each image. Key 0 stands for none.

    Attributes:
        index: `(B, K)` int32, by key: 1..S in the order of the keys that are present, else 0.
        keys: `(B, S + 1)` int64, the key behind each index, 0 in column 0 and in unused ones.
        num_dropped: scalar int64, keys beyond the capacity, whose index is 0.
    """

    index: Tensor  # type: ignore[assignment]  # the name hides tuple.index
    keys: Tensor
    num_dropped: Tensor


class SegmentPairs(NamedTuple):
    """Pairs of a ground-truth and a predicted segment of the same image, and what they share.

    A pair that is not listed shares nothing; one of 0 pixels says nothing.

    Attributes:
        gt: `(N,)` int64, place of the segment in the flattened `(B, G)`.
        pred: `(N,)` int64, place of the segment in the flattened `(B, P)`.
        pixels: `(N,)` int64.
    """

    gt: Tensor
    pred: Tensor
    pixels: Tensor


def fits_table(num_gt: int, num_pred: int) -> bool:
    """Whether each pair of segments has a cell of its own where sizes may not depend on values.

    That is on CUDA and in graphs. Where there are more segments than a table takes, there are as
    many pairs as pixels, which no image exceeds.
    """
    return num_gt * num_pred <= MAX_TABLE_CELLS


class SegmentMatches(NamedTuple):
    """Matches of the segments of both maps. Index 0 of the segment dimensions is void.

    Attributes:
        pred_of_gt: `(B, G)` int64, the matched prediction, 0 for none.
        gt_of_pred: `(B, P)` int64, the matched ground truth, 0 for none.
        iou: `(B, G)` float64, mask IoU of the match, 0 for none.
        is_fn: `(B, G)` bool.
        is_fp: `(B, P)` bool.
        gt_area: `(B, G)` int64, pixels.
        pred_area: `(B, P)` int64, pixels.
    """

    pred_of_gt: Tensor
    gt_of_pred: Tensor
    iou: Tensor
    is_fn: Tensor
    is_fp: Tensor
    gt_area: Tensor
    pred_area: Tensor


class PartPixels(Protocol):
    """Pixels of a ground truth and a PPS prediction, for PartPQ.

    `mark` says which segments are present,
    [`dense_indices`][pps_torch.ops.scoring.dense_indices.dense_indices] numbers them, and `index`
    gives each pixel the numbers of its two segments. Neither method changes the object.
    """

    def mark(self) -> SegmentMarks:
        """Mark the segments that are present."""

    def index(self, gt: DenseIndices, pred: DenseIndices) -> IndexedPixels:
        """Look up the two segments of each pixel.

        Args:
            gt, pred: the numbering of the segments of either map, as marked.
        """


class IndexedPixels(Protocol):
    """Pixels whose segments have numbers: G of the ground truth, P of the prediction, 0 is void.

    The methods may be called in any order; neither changes the object.
    """

    def count_overlaps(self) -> tuple[SegmentPairs, Tensor]:
        """Count the pixels of each pair of segments, and of each ground-truth part.

        Returns:
            the pairs, and `(B, G, L)` int32: the part labels `0..L-2`, then void, which a
            prediction may have. L is 256; on the CPU as few as hold the labels of the batch.
        """

    def count_parts(self, gt_of_pred: Tensor, gt_class: Tensor, is_crowd: Tensor) -> Tensor:
        """Count the parts of matched predictions of classes with parts, where they are evaluated.

        Not evaluated are void, the crowds of the prediction's class, and the matched segment's
        pixels of undefined part.

        Args:
            gt_of_pred: `(B, P)` int64, the matched segment, 0 for none.
            gt_class: `(B, G)` int64, the class of each segment, negative for none.
            is_crowd: `(B, G)` bool.

        Returns:
            `(B, P, 3, L)` int32: outside the matched segment, inside with the same part,
            inside with another part.
        """

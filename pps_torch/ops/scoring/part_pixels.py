"""The pixels of a ground truth and a PPS prediction, counted three times for PartPQ.

First the segments that are present are marked; they get dense indices. Then the overlaps of the
segments are counted, from which they match. Last the parts of the matched predictions are counted,
by where the pixel lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pps_torch.formats.uids import decode_uids, is_legal_uid
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.pair_counts import pair_counts
from pps_torch.ops.counting.pixel_runs import PixelRuns, check_num_pixels, pixel_runs
from pps_torch.ops.scoring.contract import (
    NUM_PART_LABELS,
    OTHER_PART,
    OUTSIDE,
    SAME_PART,
    PixelRules,
    SegmentMarks,
)
from pps_torch.reserved import PPS_VOID, UNDEFINED_PART

if TYPE_CHECKING:
    from pps_torch.ops.scoring.triton.part_pixels import PartMaps


def part_pixels(
    uids: Tensor, pps: Tensor, rules: PixelRules, *, backend: str = "auto"
) -> PartRuns | PartMaps:
    """The pixels of a batch, ready to be counted.

    Args:
        uids: `(B, P)`, any integer dtype: the ground truth.
        pps: `(B, 3, P)`, any integer dtype: scene class, instance and part.
        rules: what the ids mean.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `PartRuns`, or its Triton twin with the same three methods.
    """
    check_num_pixels(uids)
    if uses_triton(backend, uids):
        from pps_torch.ops.scoring.triton.part_pixels import PartMaps

        return PartMaps(uids, pps, rules)
    return PartRuns(uids, pps, rules)


class PartRuns:
    """Pixels as runs, decoded once."""

    def __init__(self, uids: Tensor, pps: Tensor, rules: PixelRules) -> None:
        self.rules = rules
        self.runs = pixel_runs(uids, *pps.unbind(1))
        uids, *pred_ids = (values.long() for values in self.runs.maps)
        self.num_images = len(pps)
        gt_faults = self._decode_gt(uids)
        pred_fault = self._decode_pred(*pred_ids)
        self.faults = (*gt_faults, pred_fault)
        self.is_unknown = (self.is_unknown_gt, self.is_unknown_pred)

    def mark(self) -> SegmentMarks:
        """Marks the segments that are present."""
        gt, pred = (
            self._marked(key, size)
            for key, size in zip((self.gt_key, self.pred_key), self.rules.num_keys())
        )
        faults, num_unknown = (
            torch.stack([self._num_pixels(kind) for kind in kinds])
            for kinds in (self.faults, self.is_unknown)
        )
        return SegmentMarks(gt, pred, faults, num_unknown)

    def count_overlaps(
        self, gt_index: Tensor, pred_index: Tensor, num_gt: int, num_pred: int
    ) -> tuple[Tensor, Tensor]:
        """Counts the pixels of each pair of segments, and of each ground-truth part.

        Args:
            gt_index, pred_index: `(B, K)` int32 below `num_gt` and `num_pred`, by key.

        Returns:
            `(B, num_gt, num_pred)` and `(B, num_gt, 256)` int32.
        """
        self.gt = self._look_up(gt_index, self.gt_key)
        self.pred = self._look_up(pred_index, self.pred_key)
        self.num_pred = num_pred
        joint = pair_counts(self.runs, self.gt, self.pred, num_gt, num_pred, self.num_images)
        sizes = (num_gt, NUM_PART_LABELS, self.num_images)
        return joint.int(), pair_counts(self.runs, self.gt, self.gt_part, *sizes).int()

    def count_parts(self, gt_of_pred: Tensor, crowd_class: Tensor) -> tuple[Tensor, Tensor]:
        """Counts the parts of matched predictions, where they are evaluated.

        Not evaluated are void, the crowds of the prediction's class, and the matched segment's
        pixels of undefined part.

        Args:
            gt_of_pred: `(B, P)` int64, the matched segment, 0 where parts do not matter.
            crowd_class: `(B, G)` int64, the class of a crowd, negative for other segments.

        Returns:
            `(B, P, 3, 256)` int32: outside the matched segment, inside with the same part,
            inside with another part; and how many predicted pixels have a part outside 0..255.
        """
        match = self._look_up(gt_of_pred, self.pred)
        is_inside = match == self.gt
        is_undefined = is_inside & (self.gt_part == UNDEFINED_PART)
        on_crowd = self._look_up(crowd_class, self.gt) == self.pred_class
        is_counted = (match > 0) & (self.gt > 0) & ~on_crowd & ~is_undefined
        place = torch.where(self.gt_part == self.pred_part, SAME_PART, OTHER_PART)
        place = torch.where(is_inside, place, OUTSIDE)
        part = place * NUM_PART_LABELS + self.pred_part
        maps, image, lengths, is_collapsed = self.runs
        counted = PixelRuns(maps, image, lengths * is_counted, is_collapsed)
        sizes = (self.num_pred, 3 * NUM_PART_LABELS, self.num_images)
        counts = pair_counts(counted, self.pred, part, *sizes).int()
        counts = counts.view(*gt_of_pred.shape, 3, NUM_PART_LABELS)
        return counts, self._num_pixels(self.is_bad_part)

    def _decode_gt(self, uids: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and parts of the ground truth -> its two faults."""
        rules = self.rules
        is_legal = is_legal_uid(uids)
        sids, iids, pids = decode_uids(torch.where(is_legal, uids, 0), validate=False)
        unknown_sid = len(rules.group_of_sid) - 1
        sids = sids.clamp(max=unknown_sid)
        self.is_unknown_gt = is_legal & (sids == unknown_sid)
        group = rules.group_of_sid.index_select(0, sids)
        has_group = group >= 0
        is_thing = rules.is_thing_group.index_select(0, group.clamp(min=0))
        is_crowd = (iids < 0) & is_thing
        is_too_high = has_group & (iids > rules.capacity)
        slot = iids.clamp(min=0) + is_crowd * (rules.capacity + 1)
        key = 1 + group * (rules.capacity + 2) + slot
        self.gt_key = key * (has_group & ~is_too_high)
        part = sids * rules.part_of_sid_pid.shape[1] + pids + 1
        self.gt_part = rules.part_of_sid_pid.flatten().index_select(0, part)
        return ~is_legal, is_too_high

    def _decode_pred(self, sids: Tensor, iids: Tensor, parts: Tensor) -> Tensor:
        """Keys and parts of the prediction -> its fault; other oddities are kept."""
        rules = self.rules
        last = len(rules.class_of_eval_sid) - 1
        row = torch.where(sids < 0, last, sids).clamp_(max=last)
        self.pred_class = pred_class = rules.class_of_eval_sid.index_select(0, row)
        has_class = pred_class >= 0
        is_void = (sids == 0) | (sids == PPS_VOID) | (sids == rules.ignore_label)
        self.is_unknown_pred = ~has_class & ~is_void
        is_outside = has_class & ((iids < 0) | (iids > rules.capacity))
        key = 1 + pred_class * (rules.capacity + 2) + iids
        self.pred_key = key * (has_class & ~is_outside)
        has_parts = has_class & rules.has_parts_class.index_select(0, pred_class.clamp(min=0))
        is_byte = (parts >= 0) & (parts < NUM_PART_LABELS)
        is_void_part = parts == rules.ignore_label
        self.is_bad_part = has_parts & ~is_void_part & ~is_byte
        parts = torch.where(is_void_part | ~is_byte, PPS_VOID, parts)
        self.pred_part = parts * has_parts
        return is_outside

    def _marked(self, key: Tensor, num_keys: int) -> Tensor:
        """`(B, num_keys)` bool, true where a key is present."""
        marks = key.new_zeros(self.num_images, num_keys, dtype=torch.bool)
        marks.view(-1).index_fill_(0, self.runs.image * num_keys + key, True)
        return marks

    def _look_up(self, table: Tensor, column: Tensor) -> Tensor:
        """Values of each run in the row of its image of a table `(B, N)`, int64."""
        slot = self.runs.image * table.shape[1] + column
        return table.flatten().index_select(0, slot).long()

    def _num_pixels(self, is_counted: Tensor) -> Tensor:
        return (is_counted * self.runs.lengths).sum()

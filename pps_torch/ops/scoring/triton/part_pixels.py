"""The Triton twin of `part_pixels`: each pass reads the maps and decodes them in registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.run_ends import run_ends, run_share
from pps_torch.ops.scoring.contract import (
    FAULTS,
    NUM_PART_LABELS,
    OTHER_PART,
    OUTSIDE,
    SAME_PART,
    DenseIndices,
    PixelRules,
    PixelTables,
    SegmentMarks,
)
from pps_torch.ops.scoring.triton.segment_keys import (
    gt_segment,
    key_arguments,
    pred_segment,
    widened,
)
from pps_torch.reserved import PPS_VOID, UNDEFINED_PART

BLOCK = 512  # four pixels a thread of Triton's four warps: loads of 16 bytes where ids are int32


def part_pixels(uids: Tensor, pps: Tensor, rules: PixelRules) -> PartMaps:
    """See [`part_pixels`][pps_torch.ops.scoring.part_pixels.part_pixels]."""
    return PartMaps(uids.contiguous(), pps.contiguous(), rules)


class PartMaps:
    """Pixels as they are in the maps.

    The Triton version of [`PartPixels`][pps_torch.ops.scoring.contract.PartPixels].
    """

    def __init__(self, uids: Tensor, pps: Tensor, rules: PixelRules) -> None:
        self.uids, self.pps, self.rules = uids, pps, rules

    def mark(self) -> SegmentMarks:
        """Mark the segments that are present."""
        gt, pred, counts = mark_segments(self.uids, self.pps, *self.rules)
        faults, num_unknown = counts.split([len(FAULTS), 2])
        return SegmentMarks(gt=gt, pred=pred, faults=faults, num_unknown=num_unknown)

    def index(self, gt: DenseIndices, pred: DenseIndices) -> IndexedMaps:
        """Keep the tables in which each pass looks up the two segments of a pixel."""
        return IndexedMaps(self, gt, pred)


class IndexedMaps:
    """Maps whose segments have numbers.

    The Triton version of [`IndexedPixels`][pps_torch.ops.scoring.contract.IndexedPixels].
    """

    def __init__(self, pixels: PartMaps, gt: DenseIndices, pred: DenseIndices) -> None:
        tables = gt.index.contiguous(), pred.index.contiguous()
        self.maps = (pixels.uids, pixels.pps, *tables)
        self.sizes = (gt.keys.shape[1], pred.keys.shape[1])
        self.rules = pixels.rules

    def count_overlaps(self) -> tuple[Tensor, Tensor]:
        """Count the pixels of each pair of segments, and of each ground-truth part."""
        return count_overlaps(*self.maps, *self.sizes, *self.rules)

    def count_parts(self, gt_of_pred: Tensor, crowd_class: Tensor) -> tuple[Tensor, Tensor]:
        """Count the parts of matched predictions, where they are evaluated."""
        segments = gt_of_pred.contiguous(), crowd_class.contiguous()
        return count_parts(*self.maps, *segments, *self.rules)


@torch.library.custom_op("pps_torch::mark_segments", mutates_args=())
def mark_segments(
    uids: Tensor, pps: Tensor, tables: Sequence[Tensor], capacity: int, ignore_label: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Mark the keys of both maps, `(B, K)` bool.

    The third output counts pixels, `(5,)` int64: by `FAULTS`, then those with an unknown scene
    id in either map.
    """
    rules = PixelRules(PixelTables(*tables), capacity, ignore_label)
    gt_marks, pred_marks = (
        uids.new_zeros(len(uids), size, dtype=torch.bool) for size in rules.num_keys()
    )
    faults = uids.new_zeros(len(FAULTS) + 2, dtype=torch.int64)
    if uids.numel():
        with torch.cuda.device_of(uids):
            _mark_segments_kernel[_grid(uids)](
                uids_ptr=uids,
                pps_ptr=pps,
                num_pixels=uids.shape[1],
                **key_arguments(rules),
                gt_marks_ptr=gt_marks,
                pred_marks_ptr=pred_marks,
                faults_ptr=faults,
                ignore_label=ignore_label,
                PPS_VOID=PPS_VOID,
                BLOCK=BLOCK,
            )
    return gt_marks, pred_marks, faults


@mark_segments.register_fake
def _(
    uids: Tensor, pps: Tensor, tables: Sequence[Tensor], capacity: int, ignore_label: int
) -> tuple[Tensor, Tensor, Tensor]:
    rules = PixelRules(PixelTables(*tables), capacity, ignore_label)
    gt_marks, pred_marks = (
        uids.new_empty(len(uids), size, dtype=torch.bool) for size in rules.num_keys()
    )
    return gt_marks, pred_marks, uids.new_empty(len(FAULTS) + 2, dtype=torch.int64)


@torch.library.custom_op("pps_torch::count_overlaps", mutates_args=())
def count_overlaps(
    uids: Tensor,
    pps: Tensor,
    gt_index: Tensor,
    pred_index: Tensor,
    num_gt: int,
    num_pred: int,
    tables: Sequence[Tensor],
    capacity: int,
    ignore_label: int,
) -> tuple[Tensor, Tensor]:
    """See [`count_overlaps`][pps_torch.ops.scoring.contract.IndexedPixels.count_overlaps]."""
    rules = PixelRules(PixelTables(*tables), capacity, ignore_label)
    joint = uids.new_zeros(len(uids), num_gt, num_pred, dtype=torch.int32)
    gt_parts = uids.new_zeros(len(uids), num_gt, NUM_PART_LABELS, dtype=torch.int32)
    if uids.numel():
        with torch.cuda.device_of(uids):
            _count_overlaps_kernel[_grid(uids)](
                uids_ptr=uids,
                pps_ptr=pps,
                num_pixels=uids.shape[1],
                **key_arguments(rules),
                gt_index_ptr=gt_index,
                pred_index_ptr=pred_index,
                joint_ptr=joint,
                gt_parts_ptr=gt_parts,
                num_gt=num_gt,
                num_pred=num_pred,
                part_of_sid_pid_ptr=rules.tables.part_of_sid_pid.contiguous(),
                NUM_PIDS=rules.tables.part_of_sid_pid.shape[1],
                NUM_PART_LABELS=NUM_PART_LABELS,
                BLOCK=BLOCK,
            )
    return joint, gt_parts


@count_overlaps.register_fake
def _(
    uids: Tensor,
    pps: Tensor,
    gt_index: Tensor,
    pred_index: Tensor,
    num_gt: int,
    num_pred: int,
    *rules: Any,
) -> tuple[Tensor, Tensor]:
    joint = uids.new_empty(len(uids), num_gt, num_pred, dtype=torch.int32)
    return joint, uids.new_empty(len(uids), num_gt, NUM_PART_LABELS, dtype=torch.int32)


@torch.library.custom_op("pps_torch::count_parts", mutates_args=())
def count_parts(
    uids: Tensor,
    pps: Tensor,
    gt_index: Tensor,
    pred_index: Tensor,
    gt_of_pred: Tensor,
    crowd_class: Tensor,
    tables: Sequence[Tensor],
    capacity: int,
    ignore_label: int,
) -> tuple[Tensor, Tensor]:
    """See [`count_parts`][pps_torch.ops.scoring.contract.IndexedPixels.count_parts]."""
    rules = PixelRules(PixelTables(*tables), capacity, ignore_label)
    counts = uids.new_zeros(*gt_of_pred.shape, 3, NUM_PART_LABELS, dtype=torch.int32)
    num_bad_parts = uids.new_zeros((), dtype=torch.int64)
    if uids.numel():
        with torch.cuda.device_of(uids):
            _count_parts_kernel[_grid(uids)](
                uids_ptr=uids,
                pps_ptr=pps,
                num_pixels=uids.shape[1],
                **key_arguments(rules),
                gt_index_ptr=gt_index,
                pred_index_ptr=pred_index,
                gt_of_pred_ptr=gt_of_pred,
                crowd_class_ptr=crowd_class,
                counts_ptr=counts,
                num_bad_parts_ptr=num_bad_parts,
                num_gt=crowd_class.shape[1],
                num_pred=gt_of_pred.shape[1],
                part_of_sid_pid_ptr=rules.tables.part_of_sid_pid.contiguous(),
                has_parts_class_ptr=rules.tables.has_parts_class.contiguous(),
                ignore_label=ignore_label,
                NUM_PIDS=rules.tables.part_of_sid_pid.shape[1],
                NUM_PART_LABELS=NUM_PART_LABELS,
                PPS_VOID=PPS_VOID,
                UNDEFINED_PART=UNDEFINED_PART,
                OUTSIDE=OUTSIDE,
                SAME_PART=SAME_PART,
                OTHER_PART=OTHER_PART,
                BLOCK=BLOCK,
            )
    return counts, num_bad_parts


@count_parts.register_fake
def _(
    uids: Tensor, pps: Tensor, gt_index: Tensor, pred_index: Tensor, gt_of_pred: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    counts = uids.new_empty(*gt_of_pred.shape, 3, NUM_PART_LABELS, dtype=torch.int32)
    return counts, uids.new_empty((), dtype=torch.int64)


def _grid(uids: Tensor) -> tuple[int, int]:
    return triton.cdiv(uids.shape[1], BLOCK), uids.shape[0]


@triton.jit
def _mark_segments_kernel(
    uids_ptr,
    pps_ptr,
    gt_marks_ptr,
    pred_marks_ptr,
    faults_ptr,
    num_pixels,
    num_gt_keys,
    num_pred_keys,
    group_of_sid_ptr,
    is_thing_group_ptr,
    class_of_eval_sid_ptr,
    last_sid,
    last_eval_sid,
    capacity,
    ignore_label,
    PPS_VOID: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """First pass: mark the segments of one block of pixels.

    A mark is stored only where it is not seen yet, so most pixels just look.
    """
    # Decode the pixels.
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    pps_ptr += image * 3 * num_pixels
    uid = tl.load(uids_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    pred_sid = widened(tl.load(pps_ptr + pixel, mask=in_image, other=0))
    pred_iid = tl.load(pps_ptr + num_pixels + pixel, mask=in_image, other=0)
    gt_key, gt_sid, _, is_legal, is_too_high = gt_segment(
        uid, group_of_sid_ptr, is_thing_group_ptr, last_sid, capacity
    )
    pred_key, pred_class, is_outside = pred_segment(
        pred_sid, pred_iid, class_of_eval_sid_ptr, last_eval_sid, capacity
    )

    # Mark their segments. Programs may store one mark at once: all of them store the same.
    gt_mark_ptr = gt_marks_ptr + image * num_gt_keys + gt_key
    pred_mark_ptr = pred_marks_ptr + image * num_pred_keys + pred_key
    is_seen = tl.load(gt_mark_ptr, mask=in_image, other=1) != 0
    tl.store(gt_mark_ptr, in_image, mask=in_image & ~is_seen)
    is_seen = tl.load(pred_mark_ptr, mask=in_image, other=1) != 0
    tl.store(pred_mark_ptr, in_image, mask=in_image & ~is_seen)

    # Count what the rules do not cover, where there is any.
    is_void = (pred_sid == 0) | (pred_sid == PPS_VOID) | (pred_sid == ignore_label)
    is_unknown = (pred_class < 0) & ~is_void
    is_unknown_gt = is_legal & (gt_sid == last_sid)
    is_odd = in_image & (~is_legal | is_too_high | is_outside | is_unknown_gt | is_unknown)
    if tl.sum(is_odd.to(tl.int32)) > 0:
        add_number(faults_ptr, in_image & ~is_legal)
        add_number(faults_ptr + 1, in_image & is_too_high)
        add_number(faults_ptr + 2, in_image & is_outside)
        add_number(faults_ptr + 3, in_image & is_unknown_gt)
        add_number(faults_ptr + 4, in_image & is_unknown)


@triton.jit
def add_number(counter_ptr, is_counted):
    """Add the number of pixels that are counted to a counter."""
    tl.atomic_add(counter_ptr, tl.sum(is_counted.to(tl.int64)), sem="relaxed")


@triton.jit
def _count_overlaps_kernel(
    uids_ptr,
    pps_ptr,
    gt_index_ptr,
    pred_index_ptr,
    joint_ptr,
    gt_parts_ptr,
    num_pixels,
    num_gt,
    num_pred,
    num_gt_keys,
    num_pred_keys,
    part_of_sid_pid_ptr,
    group_of_sid_ptr,
    is_thing_group_ptr,
    class_of_eval_sid_ptr,
    last_sid,
    last_eval_sid,
    capacity,
    NUM_PIDS: tl.constexpr,
    NUM_PART_LABELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Second pass: add the runs of one block of pixels to two tables of its image."""
    # Decode the pixels.
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    uids_ptr += image * num_pixels
    pps_ptr += image * 3 * num_pixels
    uid = tl.load(uids_ptr + pixel, mask=in_image, other=0)
    pred_sid = tl.load(pps_ptr + pixel, mask=in_image, other=0)
    pred_iid = tl.load(pps_ptr + num_pixels + pixel, mask=in_image, other=0)
    gt_key, sid, pid, _, _ = gt_segment(
        uid, group_of_sid_ptr, is_thing_group_ptr, last_sid, capacity
    )
    pred_key, _, _ = pred_segment(
        pred_sid, pred_iid, class_of_eval_sid_ptr, last_eval_sid, capacity
    )

    # Runs of one uid add to the parts of their ground-truth segment.
    is_first, is_last = pixel == 0, pixel == num_pixels - 1
    is_first, is_last = run_ends(uids_ptr, uid, pixel, num_pixels, is_first, is_last)
    share = run_share(pixel, is_first, is_last)
    is_end = in_image & (is_first | is_last)
    gt = tl.load(gt_index_ptr + image * num_gt_keys + gt_key, mask=in_image, other=0)
    part = tl.load(part_of_sid_pid_ptr + sid * NUM_PIDS + pid + 1, mask=is_end, other=0)
    counter = (image * num_gt + gt) * NUM_PART_LABELS + part
    tl.atomic_add(gt_parts_ptr + counter, share, mask=is_end, sem="relaxed")

    # Runs that are equal in both maps add to the overlap of their two segments.
    is_first, is_last = run_ends(pps_ptr, pred_sid, pixel, num_pixels, is_first, is_last)
    is_first, is_last = run_ends(
        pps_ptr + num_pixels, pred_iid, pixel, num_pixels, is_first, is_last
    )
    share = run_share(pixel, is_first, is_last)
    is_end = in_image & (is_first | is_last)
    pred = tl.load(pred_index_ptr + image * num_pred_keys + pred_key, mask=is_end, other=0)
    counter = (image * num_gt + gt) * num_pred + pred
    tl.atomic_add(joint_ptr + counter, share, mask=is_end, sem="relaxed")


@triton.jit
def _count_parts_kernel(
    uids_ptr,
    pps_ptr,
    gt_index_ptr,
    pred_index_ptr,
    gt_of_pred_ptr,
    crowd_class_ptr,
    counts_ptr,
    num_bad_parts_ptr,
    num_pixels,
    num_gt,
    num_pred,
    num_gt_keys,
    num_pred_keys,
    part_of_sid_pid_ptr,
    has_parts_class_ptr,
    ignore_label,
    group_of_sid_ptr,
    is_thing_group_ptr,
    class_of_eval_sid_ptr,
    last_sid,
    last_eval_sid,
    capacity,
    NUM_PIDS: tl.constexpr,
    NUM_PART_LABELS: tl.constexpr,
    PPS_VOID: tl.constexpr,
    UNDEFINED_PART: tl.constexpr,
    OUTSIDE: tl.constexpr,
    SAME_PART: tl.constexpr,
    OTHER_PART: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Third pass: add the runs of matched predictions to the table of their parts."""
    # Decode the prediction, and count parts that no byte holds.
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    uids_ptr += image * num_pixels
    pps_ptr += image * 3 * num_pixels
    uid = tl.load(uids_ptr + pixel, mask=in_image, other=0)
    pred_sid = tl.load(pps_ptr + pixel, mask=in_image, other=0)
    pred_iid = tl.load(pps_ptr + num_pixels + pixel, mask=in_image, other=0)
    raw_part = tl.load(pps_ptr + 2 * num_pixels + pixel, mask=in_image, other=0)
    pred_key, pred_class, _ = pred_segment(
        pred_sid, pred_iid, class_of_eval_sid_ptr, last_eval_sid, capacity
    )
    has_parts = tl.load(has_parts_class_ptr + pred_class, mask=pred_class >= 0, other=0) != 0
    part = widened(raw_part)
    is_byte = (part >= 0) & (part < NUM_PART_LABELS)
    is_bad_part = in_image & has_parts & ~is_byte & (part != ignore_label)
    num_bad_parts = tl.sum(is_bad_part.to(tl.int64))
    if num_bad_parts > 0:
        tl.atomic_add(num_bad_parts_ptr, num_bad_parts, sem="relaxed")
    part = tl.where(is_byte & (part != ignore_label), part, PPS_VOID)
    part = tl.where(has_parts, part, 0)

    # Find the runs of predictions that have a match.
    is_first, is_last = pixel == 0, pixel == num_pixels - 1
    is_first, is_last = run_ends(uids_ptr, uid, pixel, num_pixels, is_first, is_last)
    is_first, is_last = run_ends(pps_ptr, pred_sid, pixel, num_pixels, is_first, is_last)
    is_first, is_last = run_ends(
        pps_ptr + num_pixels, pred_iid, pixel, num_pixels, is_first, is_last
    )
    is_first, is_last = run_ends(
        pps_ptr + 2 * num_pixels, raw_part, pixel, num_pixels, is_first, is_last
    )
    is_end = in_image & (is_first | is_last)
    pred = tl.load(pred_index_ptr + image * num_pred_keys + pred_key, mask=is_end, other=0)
    match = tl.load(gt_of_pred_ptr + image * num_pred + pred, mask=is_end, other=0)
    is_end = is_end & (match > 0)

    # Add those that are evaluated, by where they lie in the ground truth.
    gt_key, sid, pid, _, _ = gt_segment(
        uid, group_of_sid_ptr, is_thing_group_ptr, last_sid, capacity
    )
    gt = tl.load(gt_index_ptr + image * num_gt_keys + gt_key, mask=is_end, other=0)
    gt_part = tl.load(part_of_sid_pid_ptr + sid * NUM_PIDS + pid + 1, mask=is_end, other=0)
    crowd_class = tl.load(crowd_class_ptr + image * num_gt + gt, mask=is_end, other=-1)
    is_inside = gt == match
    is_counted = is_end & (gt > 0) & (crowd_class != pred_class)
    is_counted = is_counted & ~(is_inside & (gt_part == UNDEFINED_PART))
    place = tl.where(gt_part == part, SAME_PART, OTHER_PART)
    place = tl.where(is_inside, place, OUTSIDE)
    counter = ((image * num_pred + pred) * 3 + place) * NUM_PART_LABELS + part
    share = run_share(pixel, is_first, is_last)
    tl.atomic_add(counts_ptr + counter, share, mask=is_counted, sem="relaxed")

"""The Triton twin of `part_pixels`: one pass lists the runs of the maps, the others read the list.

A few pixels in a hundred begin a run, and only these are decoded. A run ends where its block ends,
so that each block lists its own runs, in whatever order the blocks come.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.run_ends import (
    MAX_PROGRAMS,
    differs_from_before,
    grid_of_images,
    image_of_program,
)
from pps_torch.ops.scoring.contract import (
    NUM_PART_LABELS,
    OTHER_PART,
    OUTSIDE,
    PIXEL_FAULTS,
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

#: Pixels of a program, sixteen a thread of Triton's four warps: in a street some 45 runs.
BLOCK = 2048

#: Runs a step, one a thread, when they are decoded and when they are counted.
STEP = 128

#: What a run is, three int32 in three rows of a list: its two segment keys, and its detail.
NUM_ROWS = 3


class RunList(NamedTuple):
    """The runs of a batch of images.

    Attributes:
        runs: `(B, 3, P)` int32: the key of the ground truth, that of the prediction, the detail.
        number: `(B,)` int32, how many there are; the rest of the rows has no meaning.
    """

    runs: Tensor
    number: Tensor


def part_pixels(uids: Tensor, pps: Tensor, rules: PixelRules) -> ListedRuns:
    """See [`part_pixels`][pps_torch.ops.scoring.part_pixels.part_pixels]."""
    runs, number, gt, pred, is_labelled, counts = list_runs(uids, pps, *rules)
    faults, num_unknown = counts.split([len(PIXEL_FAULTS), 2])
    marks = SegmentMarks(
        gt=gt, pred=pred, is_labelled=is_labelled, faults=faults, num_unknown=num_unknown
    )
    return ListedRuns(RunList(runs, number), marks)


class ListedRuns:
    """Runs of equal pixels, decoded once.

    The Triton version of [`PartPixels`][pps_torch.ops.scoring.contract.PartPixels].
    """

    def __init__(self, runs: RunList, marks: SegmentMarks) -> None:
        self.runs, self.marks = runs, marks

    def mark(self) -> SegmentMarks:
        """Mark the segments that are present."""
        return self.marks

    def index(self, gt: DenseIndices, pred: DenseIndices) -> IndexedRuns:
        """Keep the tables in which the two segments of a run are looked up."""
        return IndexedRuns(self.runs, gt, pred)


class IndexedRuns:
    """Runs whose segments have numbers.

    The Triton version of [`IndexedPixels`][pps_torch.ops.scoring.contract.IndexedPixels].
    """

    def __init__(self, runs: RunList, gt: DenseIndices, pred: DenseIndices) -> None:
        self.lists = (*runs, gt.index.contiguous(), pred.index.contiguous())
        self.sizes = (gt.keys.shape[1], pred.keys.shape[1])

    def count_overlaps(self) -> tuple[Tensor, Tensor]:
        """Count the pixels of each pair of segments, and of each ground-truth part."""
        return count_overlaps(*self.lists, *self.sizes)

    def count_parts(self, gt_of_pred: Tensor, gt_class: Tensor, is_crowd: Tensor) -> Tensor:
        """Count the parts of matched predictions, where they are evaluated."""
        return count_parts(*self.lists, gt_of_pred, gt_class, is_crowd)


@torch.library.custom_op("pps_torch::list_runs", mutates_args=())
def list_runs(
    uids: Tensor, pps: Tensor, tables: Sequence[Tensor], capacity: int, ignore_label: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """List the runs, and mark their segments.

    Returns:
        the `RunList`; `(B, K)` bool marks as in
        [`SegmentMarks`][pps_torch.ops.scoring.contract.SegmentMarks]; and pixels, `(6,)` int64: by
        `PIXEL_FAULTS`, then those with an unknown scene id in either map.
    """
    rules = PixelRules(PixelTables(*tables), capacity, ignore_label)
    found = _empty_list(uids, rules)
    runs, number, gt_marks, pred_marks, is_labelled, counts = found
    for zeros in found[1:]:
        zeros.zero_()
    with torch.cuda.device_of(uids):
        launch_list_runs(
            uids,
            pps,
            rules,
            RunList(runs, number),
            gt_marks_ptr=gt_marks,
            pred_marks_ptr=pred_marks,
            is_labelled_ptr=is_labelled,
            faults_ptr=counts,
            unknown_gt_ptr=counts[len(PIXEL_FAULTS) :],
            unknown_pred_ptr=counts[len(PIXEL_FAULTS) + 1 :],
        )
    return found


@list_runs.register_fake
def _(
    uids: Tensor, pps: Tensor, tables: Sequence[Tensor], capacity: int, ignore_label: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _empty_list(uids, PixelRules(PixelTables(*tables), capacity, ignore_label))


def _empty_list(
    uids: Tensor, rules: PixelRules
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    num_images, num_pixels = uids.shape
    num_gt_keys, num_pred_keys = rules.num_keys()
    return (
        uids.new_empty(num_images, NUM_ROWS, num_pixels, dtype=torch.int32),
        uids.new_empty(num_images, dtype=torch.int32),
        uids.new_empty(num_images, num_gt_keys, dtype=torch.bool),
        uids.new_empty(num_images, num_pred_keys, dtype=torch.bool),
        uids.new_empty(num_images, num_gt_keys, dtype=torch.bool),
        uids.new_empty(len(PIXEL_FAULTS) + 2, dtype=torch.int64),
    )


@torch.library.custom_op("pps_torch::count_overlaps", mutates_args=())
def count_overlaps(
    runs: Tensor, number: Tensor, gt_index: Tensor, pred_index: Tensor, num_gt: int, num_pred: int
) -> tuple[Tensor, Tensor]:
    """See [`count_overlaps`][pps_torch.ops.scoring.contract.IndexedPixels.count_overlaps]."""
    joint = runs.new_zeros(len(runs), num_gt, num_pred)
    gt_parts = runs.new_zeros(len(runs), num_gt, NUM_PART_LABELS)
    with torch.cuda.device_of(runs):
        launch_count_overlaps(RunList(runs, number), gt_index, pred_index, joint, gt_parts)
    return joint, gt_parts


@count_overlaps.register_fake
def _(
    runs: Tensor, number: Tensor, gt_index: Tensor, pred_index: Tensor, num_gt: int, num_pred: int
) -> tuple[Tensor, Tensor]:
    joint = runs.new_empty(len(runs), num_gt, num_pred)
    return joint, runs.new_empty(len(runs), num_gt, NUM_PART_LABELS)


@torch.library.custom_op("pps_torch::count_parts", mutates_args=())
def count_parts(
    runs: Tensor,
    number: Tensor,
    gt_index: Tensor,
    pred_index: Tensor,
    gt_of_pred: Tensor,
    gt_class: Tensor,
    is_crowd: Tensor,
) -> Tensor:
    """See [`count_parts`][pps_torch.ops.scoring.contract.IndexedPixels.count_parts]."""
    counts = runs.new_zeros(*gt_of_pred.shape, 3, NUM_PART_LABELS)
    with torch.cuda.device_of(runs):
        launch_count_parts(
            RunList(runs, number),
            gt_index,
            pred_index,
            counts,
            gt_of_pred_ptr=gt_of_pred.contiguous(),
            gt_class_ptr=gt_class.contiguous(),
            is_crowd_ptr=is_crowd.contiguous(),
            num_gt=gt_class.shape[1],
        )
    return counts


@count_parts.register_fake
def _(
    runs: Tensor,
    number: Tensor,
    gt_index: Tensor,
    pred_index: Tensor,
    gt_of_pred: Tensor,
    gt_class: Tensor,
    is_crowd: Tensor,
) -> Tensor:
    return runs.new_empty(*gt_of_pred.shape, 3, NUM_PART_LABELS)


def launch_list_runs(
    uids: Tensor, pps: Tensor, rules: PixelRules, found: RunList, **results: Tensor
) -> None:
    """List the runs of a batch; `results` are the outputs of the kernel that hold zeros."""
    num_images, num_pixels = uids.shape
    if uids.numel():
        _list_runs_kernel[grid_of_images(-(-num_pixels // BLOCK), num_images)](
            uids_ptr=uids.contiguous(),
            pps_ptr=pps.contiguous(),
            num_pixels=num_pixels,
            num_images=num_images,
            runs_ptr=found.runs,
            num_runs_ptr=found.number,
            **results,
            **key_arguments(rules),
            part_of_sid_pid_ptr=rules.tables.part_of_sid_pid.contiguous(),
            has_parts_class_ptr=rules.tables.has_parts_class.contiguous(),
            ignore_label=rules.ignore_label,
            NUM_PIDS=rules.tables.part_of_sid_pid.shape[1],
            STEP=STEP,
            BLOCK=BLOCK,
        )


def launch_count_overlaps(
    found: RunList, gt_index: Tensor, pred_index: Tensor, joint: Tensor, gt_parts: Tensor
) -> None:
    """Add the runs of a batch to `joint` and `gt_parts`, which hold zeros."""
    if found.runs.numel():
        _count_overlaps_kernel[_grid(found)](
            joint_ptr=joint,
            gt_parts_ptr=gt_parts,
            num_gt=joint.shape[1],
            num_pred=joint.shape[2],
            **_list_arguments(found, gt_index, pred_index),
        )


def launch_count_parts(
    found: RunList, gt_index: Tensor, pred_index: Tensor, counts: Tensor, **segments: Any
) -> None:
    """Add the runs of matched predictions to `counts`, which hold zeros."""
    if found.runs.numel():
        _count_parts_kernel[_grid(found)](
            counts_ptr=counts,
            num_pred=counts.shape[1],
            **segments,
            **_list_arguments(found, gt_index, pred_index),
        )


def _grid(found: RunList) -> tuple[int, int]:
    """A program for each `16 * STEP` pixels; where they are all runs, it takes sixteen steps."""
    num_images, _, num_pixels = found.runs.shape
    return num_images, min(-(-num_pixels // (16 * STEP)), MAX_PROGRAMS)


def _list_arguments(found: RunList, gt_index: Tensor, pred_index: Tensor) -> dict[str, Any]:
    return {
        "runs_ptr": found.runs,
        "num_runs_ptr": found.number,
        "gt_index_ptr": gt_index,
        "pred_index_ptr": pred_index,
        "num_pixels": found.runs.shape[2],
        "num_gt_keys": gt_index.shape[1],
        "num_pred_keys": pred_index.shape[1],
        "STEP": STEP,
    }


@triton.jit
def _list_runs_kernel(
    uids_ptr,
    pps_ptr,
    num_pixels,
    num_images,
    runs_ptr,
    num_runs_ptr,
    gt_marks_ptr,
    pred_marks_ptr,
    is_labelled_ptr,
    faults_ptr,
    unknown_gt_ptr,
    unknown_pred_ptr,
    group_of_sid_ptr,
    is_thing_group_ptr,
    class_of_eval_sid_ptr,
    last_sid,
    last_eval_sid,
    num_gt_keys,
    num_pred_keys,
    capacity,
    part_of_sid_pid_ptr,
    has_parts_class_ptr,
    ignore_label,
    NUM_PIDS: tl.constexpr,
    STEP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """List the runs of one block of pixels, decode them, and mark their segments."""
    # 1. Find the pixels that begin a run: the first one, and where any map changes.
    image, block = image_of_program(), tl.program_id(0)
    num_pixels = tl.where(image < num_images, num_pixels, 0)  # beyond the batch there are none
    uids_ptr += image * num_pixels
    pps_ptr += image * 3 * num_pixels
    pixel = block * BLOCK + tl.arange(0, BLOCK)
    begins = tl.arange(0, BLOCK) == 0
    begins |= differs_from_before(uids_ptr, pixel, num_pixels)
    for channel in tl.static_range(3):
        begins |= differs_from_before(pps_ptr + channel * num_pixels, pixel, num_pixels)
    begins = (begins & (pixel < num_pixels)).to(tl.int32)

    # 2. Reserve room in the image's list, and keep the pixels there, where details will be.
    number = tl.sum(begins, 0)
    place = tl.cumsum(begins, 0) - 1
    runs_ptr += image * 3 * num_pixels + tl.atomic_add(num_runs_ptr + image, number, sem="relaxed")
    detail_ptr = runs_ptr + 2 * num_pixels
    tl.store(detail_ptr + place, pixel, mask=begins > 0)
    block_end = tl.minimum((block + 1) * BLOCK, num_pixels)
    tl.debug_barrier()

    for first in range(0, number, STEP):
        # 3. Decode as many runs as there are threads. A run ends where the next one begins, which
        # must be read before that one's detail is written.
        run = first + tl.arange(0, STEP)
        is_run = run < number
        begin = tl.load(detail_ptr + run, mask=is_run, other=0)
        end = tl.load(detail_ptr + run + 1, mask=run + 1 < number, other=block_end)
        tl.debug_barrier()
        length = end - begin
        uid = tl.load(uids_ptr + begin, mask=is_run, other=0)
        sid = widened(tl.load(pps_ptr + begin, mask=is_run, other=0))
        iid = tl.load(pps_ptr + num_pixels + begin, mask=is_run, other=0)
        raw_part = widened(tl.load(pps_ptr + 2 * num_pixels + begin, mask=is_run, other=0))
        gt_key, gt_sid, gt_pid, is_legal, is_too_high = gt_segment(
            uid, group_of_sid_ptr, is_thing_group_ptr, last_sid, capacity
        )
        pred_key, pred_class, is_outside = pred_segment(
            sid, iid, class_of_eval_sid_ptr, last_eval_sid, capacity
        )
        gt_part = tl.load(part_of_sid_pid_ptr + gt_sid * NUM_PIDS + gt_pid + 1).to(tl.int32)
        has_parts = tl.load(has_parts_class_ptr + pred_class, mask=pred_class >= 0, other=0) != 0
        part, is_bad_part = predicted_part(raw_part, has_parts, ignore_label)
        detail = pack(length, has_parts, gt_part, part)
        tl.store(runs_ptr + run, gt_key, mask=is_run)
        tl.store(runs_ptr + num_pixels + run, pred_key, mask=is_run)
        tl.store(detail_ptr + run, detail, mask=is_run)

        # 4. Mark the segments. Programs may store one mark at once: all of them store the same.
        mark(gt_marks_ptr + image * num_gt_keys + gt_key, is_run)
        mark(pred_marks_ptr + image * num_pred_keys + pred_key, is_run)
        is_labelled = (gt_key > 0) & is_label(gt_part)
        mark(is_labelled_ptr + image * num_gt_keys + gt_key, is_labelled)

        # 5. Count what the rules do not cover, where there is any.
        is_unknown = is_run & (pred_class < 0) & ~is_void(sid, ignore_label)
        is_unknown_gt = is_run & is_legal & (gt_sid == last_sid)
        is_fault = is_run & (~is_legal | is_too_high | is_outside | is_bad_part)
        if tl.sum((is_fault | is_unknown | is_unknown_gt).to(tl.int32), 0) > 0:
            add_pixels(faults_ptr, length, is_run & ~is_legal)
            add_pixels(faults_ptr + 1, length, is_run & is_too_high)
            add_pixels(faults_ptr + 2, length, is_run & is_outside)
            add_pixels(faults_ptr + 3, length, is_run & is_bad_part)
            add_pixels(unknown_gt_ptr, length, is_unknown_gt)
            add_pixels(unknown_pred_ptr, length, is_unknown)


@triton.jit
def predicted_part(
    raw_part,
    has_parts,
    ignore_label,
    NUM_PART_LABELS: tl.constexpr = NUM_PART_LABELS,
    PPS_VOID: tl.constexpr = PPS_VOID,
):
    """The part label of a predicted id, 0 in a class without parts, and whether it is a fault."""
    is_byte = (raw_part >= 0) & (raw_part < NUM_PART_LABELS)
    is_ignored = raw_part == ignore_label
    part = tl.where(is_byte & ~is_ignored, raw_part, PPS_VOID).to(tl.int32)
    return tl.where(has_parts, part, 0), has_parts & ~is_byte & ~is_ignored


@triton.jit
def is_void(sid, ignore_label, PPS_VOID: tl.constexpr = PPS_VOID):
    """Whether predicted scene ids mean void."""
    return (sid == 0) | (sid == PPS_VOID) | (sid == ignore_label)


@triton.jit
def is_label(gt_part, UNDEFINED_PART: tl.constexpr = UNDEFINED_PART):
    """Whether parts of the ground truth are defined."""
    return gt_part != UNDEFINED_PART


@triton.jit
def pack(length, has_parts, gt_part, part):
    """The detail of runs: length, whether the prediction has parts, and the two part labels."""
    return (length << 17) | tl.where(has_parts, 1 << 16, 0) | (gt_part << 8) | part


@triton.jit
def unpack(detail):
    """What `pack` has packed."""
    return detail >> 17, (detail >> 16 & 1) != 0, detail >> 8 & 0xFF, detail & 0xFF


@triton.jit
def mark(mark_ptr, is_marked):
    """Set the marks that are not yet set."""
    is_new = tl.load(mark_ptr, mask=is_marked, other=1) == 0
    tl.store(mark_ptr, is_marked, mask=is_new)


@triton.jit
def add_pixels(counter_ptr, length, is_counted):
    """Add the pixels of the runs that are counted to a counter."""
    number = tl.sum(tl.where(is_counted, length, 0), 0)
    tl.atomic_add(counter_ptr, number.to(tl.int64), sem="relaxed")


@triton.jit
def _count_overlaps_kernel(
    runs_ptr,
    num_runs_ptr,
    gt_index_ptr,
    pred_index_ptr,
    joint_ptr,
    gt_parts_ptr,
    num_pixels,
    num_gt,
    num_pred,
    num_gt_keys,
    num_pred_keys,
    STEP: tl.constexpr,
    NUM_PART_LABELS: tl.constexpr = NUM_PART_LABELS,
):
    """Add the runs of a program to the overlap of their two segments, and to their part."""
    image = tl.program_id(0).to(tl.int64)
    runs_ptr += image * 3 * num_pixels
    number = tl.load(num_runs_ptr + image)
    for first in range(tl.program_id(1) * STEP, number, tl.num_programs(1) * STEP):
        run = first + tl.arange(0, STEP)
        is_run = run < number
        gt_key = tl.load(runs_ptr + run, mask=is_run, other=0)
        pred_key = tl.load(runs_ptr + num_pixels + run, mask=is_run, other=0)
        detail = tl.load(runs_ptr + 2 * num_pixels + run, mask=is_run, other=0)
        gt = tl.load(gt_index_ptr + image * num_gt_keys + gt_key, mask=is_run, other=0)
        pred = tl.load(pred_index_ptr + image * num_pred_keys + pred_key, mask=is_run, other=0)
        row = image * num_gt + gt
        length, _, gt_part, _ = unpack(detail)
        tl.atomic_add(joint_ptr + row * num_pred + pred, length, mask=is_run, sem="relaxed")
        part_ptr = gt_parts_ptr + row * NUM_PART_LABELS + gt_part
        tl.atomic_add(part_ptr, length, mask=is_run, sem="relaxed")


@triton.jit
def _count_parts_kernel(
    runs_ptr,
    num_runs_ptr,
    gt_index_ptr,
    pred_index_ptr,
    gt_of_pred_ptr,
    gt_class_ptr,
    is_crowd_ptr,
    counts_ptr,
    num_pixels,
    num_gt,
    num_pred,
    num_gt_keys,
    num_pred_keys,
    STEP: tl.constexpr,
    NUM_PART_LABELS: tl.constexpr = NUM_PART_LABELS,
):
    """Add the runs of a program that are evaluated to the parts of their predictions."""
    image = tl.program_id(0).to(tl.int64)
    runs_ptr += image * 3 * num_pixels
    gt_class_ptr += image * num_gt
    number = tl.load(num_runs_ptr + image)
    for first in range(tl.program_id(1) * STEP, number, tl.num_programs(1) * STEP):
        # Most runs end here: their prediction has no parts, or no match.
        run = first + tl.arange(0, STEP)
        detail = tl.load(runs_ptr + 2 * num_pixels + run, mask=run < number, other=0)
        length, is_run, gt_part, part = unpack(detail)
        pred_key = tl.load(runs_ptr + num_pixels + run, mask=is_run, other=0)
        pred = tl.load(pred_index_ptr + image * num_pred_keys + pred_key, mask=is_run, other=0)
        match = tl.load(gt_of_pred_ptr + image * num_pred + pred, mask=is_run, other=0)
        is_run &= match > 0

        # Void, crowds of the class and undefined pixels of the match are not evaluated.
        gt_key = tl.load(runs_ptr + run, mask=is_run, other=0)
        gt = tl.load(gt_index_ptr + image * num_gt_keys + gt_key, mask=is_run, other=0)
        same_class = tl.load(gt_class_ptr + gt, mask=is_run, other=-1) == tl.load(
            gt_class_ptr + match, mask=is_run, other=-1
        )
        is_crowd = tl.load(is_crowd_ptr + image * num_gt + gt, mask=is_run, other=0) != 0
        is_inside = gt == match
        is_undefined = is_inside & ~is_label(gt_part)
        is_counted = is_run & (gt > 0) & ~(is_crowd & same_class) & ~is_undefined
        place = place_of_part(is_inside, gt_part == part)
        counter = ((image * num_pred + pred) * 3 + place) * NUM_PART_LABELS + part
        tl.atomic_add(counts_ptr + counter, length, mask=is_counted, sem="relaxed")


@triton.jit
def place_of_part(
    is_inside,
    is_same,
    OUTSIDE: tl.constexpr = OUTSIDE,
    SAME_PART: tl.constexpr = SAME_PART,
    OTHER_PART: tl.constexpr = OTHER_PART,
):
    """Where pixels of a matched prediction lie, seen from the ground-truth segment."""
    return tl.where(is_inside, tl.where(is_same, SAME_PART, OTHER_PART), OUTSIDE)

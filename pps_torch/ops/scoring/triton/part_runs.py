"""Runs of equal pixels of a ground truth and a PPS prediction, listed and decoded in one pass.

A few pixels in a hundred begin a run, and only these are decoded. A run ends where its block ends,
so that each block lists its own runs, in whatever order the blocks come.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.counting.triton.run_ends import differs_from_before
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.scoring.contract import NUM_PART_LABELS, PixelRules
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


def launch_list_runs(
    launch: Launcher,
    uids: Tensor,
    pps: Tensor,
    rules: PixelRules,
    found: RunList,
    **results: Tensor,
) -> None:
    """List the runs of a batch; `results` are the outputs of the kernel that hold zeros."""
    num_images, num_pixels = uids.shape
    if uids.numel():
        launch(
            _list_runs_kernel,
            num_images * num_blocks(num_pixels, BLOCK),
            uids_ptr=uids.contiguous(),
            pps_ptr=pps.contiguous(),
            num_pixels=num_pixels,
            runs_ptr=found.runs,
            num_runs_ptr=found.number,
            **results,
            **key_arguments(rules),
            part_of_sid_pid_ptr=rules.tables.part_of_sid_pid.contiguous(),
            has_parts_class_ptr=rules.tables.has_parts_class.contiguous(),
            ignore_label=rules.ignore_label,
            NUM_PIDS=rules.tables.part_of_sid_pid.shape[1],
        )


@triton.jit
def _list_runs_kernel(
    uids_ptr,
    pps_ptr,
    num_pixels,
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
    STEP: tl.constexpr = STEP,
    BLOCK: tl.constexpr = BLOCK,
):
    """List the runs of one block of pixels, decode them, and mark their segments."""
    # 1. Find the pixels that begin a run: the first one, and where any map changes.
    image, block_start = block_of_image(num_pixels, BLOCK)
    uids_ptr += image * num_pixels
    pps_ptr += image * 3 * num_pixels
    pixel = block_start + tl.arange(0, BLOCK)
    begins = tl.arange(0, BLOCK) == 0
    begins |= differs_from_before(uids_ptr, pixel, num_pixels)
    for channel in tl.static_range(3):
        begins |= differs_from_before(pps_ptr + channel * num_pixels, pixel, num_pixels)
    begins = (begins & (pixel < num_pixels)).to(tl.int32)

    # 2. Reserve room in the image's list, and keep the pixels there, where details will be.
    number = tl.sum(begins, 0)
    place = tl.cumsum(begins, 0) - 1
    first = tl.atomic_add(num_runs_ptr + image, number, mask=number > 0, sem="relaxed")
    runs_ptr += image * 3 * num_pixels + first
    detail_ptr = runs_ptr + 2 * num_pixels
    tl.store(detail_ptr + place, pixel, mask=begins > 0)
    block_end = tl.minimum(block_start + BLOCK, num_pixels)
    tl.debug_barrier()

    for start in range(0, number, STEP):
        # 3. Decode as many runs as there are threads. A run ends where the next one begins, which
        # must be read before that one's detail is written.
        run = start + tl.arange(0, STEP)
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
    """Whether predicted scene ids mean void, as `is_predicted_void` says it."""
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

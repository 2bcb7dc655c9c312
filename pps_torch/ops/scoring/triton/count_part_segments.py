"""The Triton twin of `count_part_segments`: one operator, eight launches.

Its tables have room for the capacity, but only the rows of the segments that are there are cleared,
counted in and read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher
from pps_torch.ops.scoring.contract import (
    NUM_PART_LABELS,
    PIXEL_FAULTS,
    PixelRules,
    PixelTables,
    SegmentMatches,
)
from pps_torch.ops.scoring.triton.class_sums import add_segments
from pps_torch.ops.scoring.triton.dense_indices import BLOCK, NUM_WARPS, number_keys
from pps_torch.ops.scoring.triton.match_segments import launch_match_segments
from pps_torch.ops.scoring.triton.mean_part_iou import TILE, evaluated_area, part_score
from pps_torch.ops.scoring.triton.part_pixels import launch_count_overlaps, launch_count_parts
from pps_torch.ops.scoring.triton.part_runs import NUM_ROWS, RunList, launch_list_runs

NUM_PIXEL_FAULTS = len(PIXEL_FAULTS)

#: Counts that are cleared at a time: sixteen bytes a thread of `NUM_WARPS` warps.
CLEARED = 2048

#: Programs an image that score segments; a street has some hundred.
NUM_SCORERS = 128


@direct_operator(
    "pps_torch::count_part_segments",
    mutates_args=("class_sums", "faults", "unknown_gt_pixels", "unknown_pixels"),
)
def count_part_segments(
    class_sums: Tensor,
    faults: Tensor,
    unknown_gt_pixels: Tensor,
    unknown_pixels: Tensor,
    uids: Tensor,
    pps: Tensor,
    tables: Sequence[Tensor],
    capacity: int,
    ignore_label: int,
) -> None:
    """See `count_part_segments` of `ops/scoring/count_part_segments.py`."""
    if uids.numel() == 0:
        return
    rules = PixelRules(PixelTables(*tables), capacity, ignore_label)
    num_images, num_pixels = uids.shape
    num_gt_keys, num_pred_keys = rules.num_keys()
    size = capacity + 1

    def room(*shape: int, dtype: torch.dtype = torch.int32) -> Tensor:
        return uids.new_empty(shape, dtype=dtype)

    # All that must be zero at first: by key the marks, which become the indices of the segments,
    # and whether a segment has labels; by image how many runs there are, and segments of each map.
    sizes = [num_images * row for row in (num_gt_keys, num_pred_keys, num_gt_keys, 1, 2)]
    zeros = uids.new_zeros(sum(sizes), dtype=torch.int32)
    gt_index, pred_index, is_labelled, number, num_present = zeros.split(sizes)
    gt_index, pred_index = gt_index.view(num_images, -1), pred_index.view(num_images, -1)
    runs = RunList(room(num_images, NUM_ROWS, num_pixels), number)

    # What the segments are, and what becomes of them.
    columns = room(9, num_images, size, dtype=torch.int64).unbind()
    gt_keys, pred_keys, gt_class, pred_class, pred_of_gt, gt_of_pred, gt_area, pred_area, iou = (
        columns
    )
    is_crowd, has_parts, is_fn, is_fp = room(4, num_images, size, dtype=torch.bool).unbind()
    iou = iou.view(torch.float64)
    matches = SegmentMatches(pred_of_gt, gt_of_pred, iou, is_fn, is_fp, gt_area, pred_area)

    # What they share.
    joint = room(num_images, size, size)
    gt_parts, pred_parts = (room(num_images, size, n * NUM_PART_LABELS) for n in (1, 3))

    sums = (class_sums, faults, unknown_gt_pixels, unknown_pixels)
    launch = Launcher(
        "count_part_segments", *sums, uids, pps, *rules.tables, capacity, ignore_label
    )
    with torch.cuda.device_of(uids):
        launch_list_runs(
            launch,
            uids,
            pps,
            rules,
            runs,
            gt_marks_ptr=gt_index,
            pred_marks_ptr=pred_index,
            is_labelled_ptr=is_labelled,
            faults_ptr=faults,
            unknown_gt_ptr=unknown_gt_pixels,
            unknown_pred_ptr=unknown_pixels,
        )
        launch(
            _number_segments_kernel,
            num_images,
            gt_index_ptr=gt_index,
            pred_index_ptr=pred_index,
            is_labelled_ptr=is_labelled,
            class_of_group_ptr=rules.tables.class_of_group.contiguous(),
            has_parts_class_ptr=rules.tables.has_parts_class.contiguous(),
            gt_keys_ptr=gt_keys,
            pred_keys_ptr=pred_keys,
            num_present_ptr=num_present,
            gt_class_ptr=gt_class,
            pred_class_ptr=pred_class,
            is_crowd_ptr=is_crowd,
            has_parts_ptr=has_parts,
            joint_ptr=joint,
            gt_parts_ptr=gt_parts,
            pred_parts_ptr=pred_parts,
            faults_ptr=faults,
            num_gt_keys=num_gt_keys,
            num_pred_keys=num_pred_keys,
            capacity=capacity,
            num_warps=NUM_WARPS,
        )
        launch_count_overlaps(launch, runs, gt_index, pred_index, joint, gt_parts)
        launch_match_segments(
            launch,
            matches,
            joint,
            gt_class,
            pred_class,
            is_crowd,
            last_crowd_only=False,
            num_present=num_present,
        )
        launch_count_parts(
            launch,
            runs,
            gt_index,
            pred_index,
            pred_parts,
            gt_of_pred_ptr=gt_of_pred,
            gt_class_ptr=gt_class,
            is_crowd_ptr=is_crowd,
            num_gt=size,
        )
        launch(
            _add_scores_kernel,
            num_images * min(size, NUM_SCORERS),
            class_sums_ptr=class_sums,
            num_present_ptr=num_present,
            gt_class_ptr=gt_class,
            pred_class_ptr=pred_class,
            is_crowd_ptr=is_crowd,
            has_parts_ptr=has_parts,
            gt_parts_ptr=gt_parts,
            pred_parts_ptr=pred_parts,
            pred_of_gt_ptr=pred_of_gt,
            iou_ptr=iou,
            is_fn_ptr=is_fn,
            is_fp_ptr=is_fp,
            gt_area_ptr=gt_area,
            size=size,
        )


@count_part_segments.register_fake
def _(*_: Any) -> None:
    """Nothing is allocated."""


@triton.jit
def _number_segments_kernel(
    gt_index_ptr,
    pred_index_ptr,
    is_labelled_ptr,
    class_of_group_ptr,
    has_parts_class_ptr,
    gt_keys_ptr,
    pred_keys_ptr,
    num_present_ptr,
    gt_class_ptr,
    pred_class_ptr,
    is_crowd_ptr,
    has_parts_ptr,
    joint_ptr,
    gt_parts_ptr,
    pred_parts_ptr,
    faults_ptr,
    num_gt_keys,
    num_pred_keys,
    capacity,
    TILE: tl.constexpr = TILE,
    BLOCK: tl.constexpr = BLOCK,
    NUM_PART_LABELS: tl.constexpr = NUM_PART_LABELS,
    NUM_PIXEL_FAULTS: tl.constexpr = NUM_PIXEL_FAULTS,
):
    """Number the segments of one image, say what they are, and clear their rows of the tables."""
    # 1. Number them, by the order of their keys. In the same place a mark becomes a number.
    image = tl.program_id(0).to(tl.int64)
    size = capacity + 1
    gt_keys_ptr += image * size
    pred_keys_ptr += image * size
    gt_index_ptr += image * num_gt_keys
    pred_index_ptr += image * num_pred_keys
    num_gt = number_keys(
        gt_index_ptr,
        gt_index_ptr,
        gt_keys_ptr,
        faults_ptr + NUM_PIXEL_FAULTS,
        num_gt_keys,
        capacity,
        BLOCK,
    )
    num_pred = number_keys(
        pred_index_ptr,
        pred_index_ptr,
        pred_keys_ptr,
        faults_ptr + NUM_PIXEL_FAULTS + 1,
        num_pred_keys,
        capacity,
        BLOCK,
    )
    tl.store(num_present_ptr + 2 * image, num_gt)
    tl.store(num_present_ptr + 2 * image + 1, num_pred)
    tl.debug_barrier()

    # 2. Look up the class of each, and which are crowds, as in `compare_part_segments`.
    num_slots = capacity + 2
    for start in range(0, tl.maximum(num_gt, num_pred) + 1, TILE):
        segment = start + tl.arange(0, TILE)
        is_gt, is_pred = (segment > 0) & (segment <= num_gt), (segment > 0) & (segment <= num_pred)
        key = tl.load(gt_keys_ptr + segment, mask=is_gt, other=1).to(tl.int32)
        group, slot = (key - 1) // num_slots, (key - 1) % num_slots
        gt_class = tl.load(class_of_group_ptr + group, mask=is_gt, other=-1)
        has_parts = tl.load(has_parts_class_ptr + gt_class, mask=is_gt, other=0) != 0
        label_ptr = is_labelled_ptr + image * num_gt_keys + key
        is_labelled = tl.load(label_ptr, mask=is_gt, other=0) != 0
        is_crowd = is_gt & ((slot == num_slots - 1) | (has_parts & ~is_labelled))
        row = image * size + segment
        tl.store(gt_class_ptr + row, gt_class, mask=segment <= num_gt)
        tl.store(has_parts_ptr + row, has_parts, mask=segment <= num_gt)
        tl.store(is_crowd_ptr + row, is_crowd, mask=segment <= num_gt)
        key = tl.load(pred_keys_ptr + segment, mask=is_pred, other=1).to(tl.int32)
        pred_class = tl.where(is_pred, (key - 1) // num_slots, -1)
        tl.store(pred_class_ptr + row, pred_class.to(tl.int64), mask=segment <= num_pred)

    # 3. Clear the rows that are counted in.
    joint_ptr += image * size * size
    for _ in range(num_gt + 1):
        clear(joint_ptr, num_pred + 1)
        joint_ptr += size
    num_counts = (num_gt + 1) * NUM_PART_LABELS
    clear(gt_parts_ptr + image * size * NUM_PART_LABELS, num_counts)
    num_counts = (num_pred + 1) * 3 * NUM_PART_LABELS
    clear(pred_parts_ptr + image * size * 3 * NUM_PART_LABELS, num_counts)


@triton.jit
def clear(counts_ptr, number, CLEARED: tl.constexpr = CLEARED):
    """Store zeros in the first counts of a table."""
    for start in range(0, number, CLEARED):
        place = start + tl.arange(0, CLEARED)
        tl.store(counts_ptr + place, tl.zeros([CLEARED], tl.int32), mask=place < number)


@triton.jit
def _add_scores_kernel(
    class_sums_ptr,
    num_present_ptr,
    gt_class_ptr,
    pred_class_ptr,
    is_crowd_ptr,
    has_parts_ptr,
    gt_parts_ptr,
    pred_parts_ptr,
    pred_of_gt_ptr,
    iou_ptr,
    is_fn_ptr,
    is_fp_ptr,
    gt_area_ptr,
    size,
    TILE: tl.constexpr = TILE,
    NUM_SCORERS: tl.constexpr = NUM_SCORERS,
):
    """Score segments of one image and add them to their classes, one of each map at a time."""
    num_scorers = tl.minimum(size, NUM_SCORERS)
    image, scorer = (tl.program_id(0) // num_scorers).to(tl.int64), tl.program_id(0) % num_scorers
    first_row = image * size
    num_gt = 1 + tl.load(num_present_ptr + 2 * image)
    num_pred = 1 + tl.load(num_present_ptr + 2 * image + 1)
    for segment in range(scorer, tl.maximum(num_gt, num_pred), num_scorers):
        row = first_row + segment
        in_gt, in_pred = segment < num_gt, segment < num_pred
        gt_class = tl.load(gt_class_ptr + row, mask=in_gt, other=-1)
        match = tl.load(pred_of_gt_ptr + row, mask=in_gt, other=0)
        score = tl.load(iou_ptr + row, mask=in_gt, other=0.0)
        has_parts = tl.load(has_parts_ptr + row, mask=in_gt, other=0) != 0
        if (match > 0) & has_parts:
            evaluated = evaluated_area(
                gt_area_ptr + first_row,
                gt_class_ptr + first_row,
                is_crowd_ptr + first_row,
                gt_class,
                num_gt,
                TILE,
            )
            score = part_score(gt_parts_ptr, row, pred_parts_ptr, first_row + match, evaluated)
        pred_class = tl.load(pred_class_ptr + row, mask=in_pred, other=-1)
        is_fn = tl.load(is_fn_ptr + row, mask=in_gt, other=0) != 0
        is_fp = tl.load(is_fp_ptr + row, mask=in_pred, other=0) != 0
        add_segments(class_sums_ptr, gt_class, match > 0, score, is_fn, pred_class, is_fp)

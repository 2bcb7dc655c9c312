"""The Triton twin of `part_pixels`: one pass lists the runs of the maps, the others read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
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
    SegmentPairs,
)
from pps_torch.ops.scoring.segment_pairs import pairs_of_table
from pps_torch.ops.scoring.triton.part_runs import (
    NUM_ROWS,
    STEP,
    RunList,
    is_label,
    launch_list_runs,
    unpack,
)


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

    def count_overlaps(self) -> tuple[SegmentPairs, Tensor]:
        """Count the pixels of each pair of segments, and of each ground-truth part."""
        joint, gt_parts = count_overlaps(*self.lists, *self.sizes)
        return pairs_of_table(joint), gt_parts

    def count_parts(self, gt_of_pred: Tensor, gt_class: Tensor, is_crowd: Tensor) -> Tensor:
        """Count the parts of matched predictions, where they are evaluated."""
        return count_parts(*self.lists, gt_of_pred, gt_class, is_crowd)


@direct_operator("pps_torch::list_runs")
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
    launch = Launcher("list_runs", uids, pps, *tables, capacity, ignore_label)
    with torch.cuda.device_of(uids):
        launch_list_runs(
            launch,
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


@direct_operator("pps_torch::count_overlaps")
def count_overlaps(
    runs: Tensor, number: Tensor, gt_index: Tensor, pred_index: Tensor, num_gt: int, num_pred: int
) -> tuple[Tensor, Tensor]:
    """See [`count_overlaps`][pps_torch.ops.scoring.contract.IndexedPixels.count_overlaps].

    The pairs are a table `(B, G, P)` int32.
    """
    joint = runs.new_zeros(len(runs), num_gt, num_pred)
    gt_parts = runs.new_zeros(len(runs), num_gt, NUM_PART_LABELS)
    launch = Launcher("count_overlaps", runs, number, gt_index, pred_index, num_gt, num_pred)
    with torch.cuda.device_of(runs):
        launch_count_overlaps(launch, RunList(runs, number), gt_index, pred_index, joint, gt_parts)
    return joint, gt_parts


@count_overlaps.register_fake
def _(
    runs: Tensor, number: Tensor, gt_index: Tensor, pred_index: Tensor, num_gt: int, num_pred: int
) -> tuple[Tensor, Tensor]:
    joint = runs.new_empty(len(runs), num_gt, num_pred)
    return joint, runs.new_empty(len(runs), num_gt, NUM_PART_LABELS)


@direct_operator("pps_torch::count_parts")
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
    inputs = (runs, number, gt_index, pred_index, gt_of_pred, gt_class, is_crowd)
    launch = Launcher("count_parts", *inputs)
    with torch.cuda.device_of(runs):
        launch_count_parts(
            launch,
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


def launch_count_overlaps(
    launch: Launcher,
    found: RunList,
    gt_index: Tensor,
    pred_index: Tensor,
    joint: Tensor,
    gt_parts: Tensor,
) -> None:
    """Add the runs of a batch to `joint` and `gt_parts`, which hold zeros."""
    if found.runs.numel():
        num_readers = _num_readers(found)
        launch(
            _count_overlaps_kernel,
            len(found.runs) * num_readers,
            num_readers=num_readers,
            joint_ptr=joint,
            gt_parts_ptr=gt_parts,
            num_gt=joint.shape[1],
            num_pred=joint.shape[2],
            **_list_arguments(found, gt_index, pred_index),
        )


def launch_count_parts(
    launch: Launcher,
    found: RunList,
    gt_index: Tensor,
    pred_index: Tensor,
    counts: Tensor,
    **segments: Any,
) -> None:
    """Add the runs of matched predictions to `counts`, which hold zeros."""
    if found.runs.numel():
        num_readers = _num_readers(found)
        launch(
            _count_parts_kernel,
            len(found.runs) * num_readers,
            num_readers=num_readers,
            counts_ptr=counts,
            num_pred=counts.shape[1],
            **segments,
            **_list_arguments(found, gt_index, pred_index),
        )


def _num_readers(found: RunList) -> int:
    """Programs an image, one for `16 * STEP` pixels; if all are runs, it takes sixteen steps."""
    return num_blocks(found.runs.shape[2], 16 * STEP)


def _list_arguments(found: RunList, gt_index: Tensor, pred_index: Tensor) -> dict[str, Any]:
    return {
        "runs_ptr": found.runs,
        "num_runs_ptr": found.number,
        "gt_index_ptr": gt_index,
        "pred_index_ptr": pred_index,
        "num_pixels": found.runs.shape[2],
        "num_gt_keys": gt_index.shape[1],
        "num_pred_keys": pred_index.shape[1],
    }


@triton.jit(do_not_specialize=["num_readers"])
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
    num_readers,
    STEP: tl.constexpr = STEP,
    NUM_PART_LABELS: tl.constexpr = NUM_PART_LABELS,
):
    """Add the runs of a program to the overlap of their two segments, and to their part."""
    image, reader = (tl.program_id(0) // num_readers).to(tl.int64), tl.program_id(0) % num_readers
    runs_ptr += image * 3 * num_pixels
    number = tl.load(num_runs_ptr + image)
    for first in range(reader * STEP, number, num_readers * STEP):
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


@triton.jit(do_not_specialize=["num_readers"])
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
    num_readers,
    STEP: tl.constexpr = STEP,
    NUM_PART_LABELS: tl.constexpr = NUM_PART_LABELS,
):
    """Add the runs of a program that are evaluated to the parts of their predictions."""
    image, reader = (tl.program_id(0) // num_readers).to(tl.int64), tl.program_id(0) % num_readers
    runs_ptr += image * 3 * num_pixels
    gt_class_ptr += image * num_gt
    number = tl.load(num_runs_ptr + image)
    for first in range(reader * STEP, number, num_readers * STEP):
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

"""The Triton twin of `match_segments`: the table is read once by columns and once by rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.scoring.contract import SegmentMatches

# Segments of either map: 32 x 32 counters are eight a thread of Triton's four warps, and a row of
# them is 128 bytes.
TILE = 32


@direct_operator("pps_torch::match_segments")
def match_segments(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, is_crowd: Tensor, last_crowd_only: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See [`match_segments`][pps_torch.ops.scoring.match_segments.match_segments]."""
    matches = empty_matches(joint)
    launch = Launcher("match_segments", joint, gt_class, pred_class, is_crowd, last_crowd_only)
    with torch.cuda.device_of(joint):
        launch_match_segments(
            launch,
            matches,
            joint.contiguous(),
            gt_class.contiguous(),
            pred_class.contiguous(),
            is_crowd.contiguous(),
            last_crowd_only=last_crowd_only,
        )
    return (*matches,)


@match_segments.register_fake
def _(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, is_crowd: Tensor, last_crowd_only: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (*empty_matches(joint),)


def empty_matches(joint: Tensor) -> SegmentMatches:
    """Room for the matches of a table."""
    num_images, num_gt, num_pred = joint.shape
    gt_shape, pred_shape = (num_images, num_gt), (num_images, num_pred)
    return SegmentMatches(
        pred_of_gt=joint.new_empty(gt_shape, dtype=torch.int64),
        gt_of_pred=joint.new_empty(pred_shape, dtype=torch.int64),
        iou=joint.new_empty(gt_shape, dtype=torch.float64),
        is_fn=joint.new_empty(gt_shape, dtype=torch.bool),
        is_fp=joint.new_empty(pred_shape, dtype=torch.bool),
        gt_area=joint.new_empty(gt_shape, dtype=torch.int64),
        pred_area=joint.new_empty(pred_shape, dtype=torch.int64),
    )


def launch_match_segments(
    launch: Launcher,
    matches: SegmentMatches,
    joint: Tensor,
    gt_class: Tensor,
    pred_class: Tensor,
    is_crowd: Tensor,
    *,
    last_crowd_only: bool,
    num_present: Tensor | None = None,
) -> None:
    """Match the segments of a batch.

    Args:
        launch: of the operator; it launches each kernel once.
        matches: room for what is found.
        joint, gt_class, pred_class, is_crowd, last_crowd_only: as for the operation.
        num_present: `(B, 2)` int32, the highest segment of either map; nothing is read and nothing
            written beyond. None for all of the table.
    """
    num_images, num_gt, num_pred = joint.shape
    if joint.numel():
        tables = {
            "joint_ptr": joint,
            "gt_class_ptr": gt_class,
            "pred_class_ptr": pred_class,
            "is_crowd_ptr": is_crowd,
            "num_present_ptr": num_present,
            "num_gt": num_gt,
            "num_pred": num_pred,
        }
        launch(
            _judge_predictions_kernel,
            num_images * num_blocks(num_pred, TILE),
            **tables,
            gt_of_pred_ptr=matches.gt_of_pred,
            is_fp_ptr=matches.is_fp,
            pred_area_ptr=matches.pred_area,
            LAST_CROWD_ONLY=last_crowd_only,
        )
        launch(
            _match_kernel,
            num_images * num_blocks(num_gt, TILE),
            **tables,
            pred_area_ptr=matches.pred_area,
            pred_of_gt_ptr=matches.pred_of_gt,
            gt_of_pred_ptr=matches.gt_of_pred,
            iou_ptr=matches.iou,
            is_fn_ptr=matches.is_fn,
            is_fp_ptr=matches.is_fp,
            gt_area_ptr=matches.gt_area,
        )


@triton.jit
def rows_and_columns(num_present_ptr, image, num_gt, num_pred):
    """Rows and columns of the table of an image that are in use, void included."""
    if num_present_ptr is None:
        return num_gt, num_pred
    else:
        num_rows = 1 + tl.load(num_present_ptr + 2 * image)
        return num_rows, 1 + tl.load(num_present_ptr + 2 * image + 1)


@triton.jit(do_not_specialize=["num_gt", "num_pred"])
def _judge_predictions_kernel(
    joint_ptr,
    gt_class_ptr,
    pred_class_ptr,
    is_crowd_ptr,
    num_present_ptr,
    gt_of_pred_ptr,
    is_fp_ptr,
    pred_area_ptr,
    num_gt,
    num_pred,
    LAST_CROWD_ONLY: tl.constexpr,
    TILE: tl.constexpr = TILE,
):
    """Judge a tile of predictions, columns of the table, as if nothing matched them.

    That gives their areas, and which are then false positives.
    """
    image, first_pred = block_of_image(num_pred, TILE)
    num_rows, num_columns = rows_and_columns(num_present_ptr, image, num_gt, num_pred)
    pred = first_pred + tl.arange(0, TILE)
    in_table = pred < num_columns
    pred_class = tl.load(pred_class_ptr + image * num_pred + pred, mask=in_table, other=-1)
    joint_ptr += image * num_gt * num_pred
    if first_pred < num_columns:
        # Walk down the columns, and keep apart what lies on each prediction and on crowds of its
        # class: the sums over the rows of a tile come last.
        area = tl.zeros([TILE, TILE], tl.int64)
        on_crowd = tl.zeros([TILE, TILE], tl.int64)
        last_crowd = tl.full([TILE, TILE], -1, tl.int32)
        for start in range(0, num_rows, TILE):
            gt = start + tl.arange(0, TILE)
            in_column = gt < num_rows
            gt_class = tl.load(gt_class_ptr + image * num_gt + gt, mask=in_column, other=-1)
            is_crowd = tl.load(is_crowd_ptr + image * num_gt + gt, mask=in_column, other=0) != 0
            cell = gt[:, None].to(tl.int64) * num_pred + pred[None, :]
            mask = in_column[:, None] & in_table[None, :]
            joint = tl.load(joint_ptr + cell, mask=mask, other=0).to(tl.int32)
            area += joint
            is_own = is_crowd & (gt_class >= 0)
            is_own = is_own[:, None] & (gt_class[:, None] == pred_class[None, :])
            if LAST_CROWD_ONLY:
                on_crowd = tl.where(is_own, joint.to(tl.int64), on_crowd)
                last_crowd = tl.where(is_own, gt[:, None], last_crowd)
            else:
                on_crowd += tl.where(is_own, joint, 0)
        area = tl.sum(area, 0)
        if LAST_CROWD_ONLY:
            is_last = last_crowd == tl.max(last_crowd, 0)[None, :]
            on_crowd = tl.where(is_last, on_crowd, 0)
        on_crowd = tl.sum(on_crowd, 0)

        # Row 0 is void: judge by the half that void and crowds do not cover.
        on_void = tl.load(joint_ptr + pred, mask=in_table, other=0).to(tl.int64)
        is_fp = (pred_class >= 0) & (area > 0) & (2 * (on_void + on_crowd) <= area)

        # The matches come after, from the rows of the table.
        segment = image * num_pred + pred
        tl.store(pred_area_ptr + segment, area, mask=in_table)
        tl.store(is_fp_ptr + segment, is_fp, mask=in_table)
        tl.store(gt_of_pred_ptr + segment, tl.zeros([TILE], tl.int64), mask=in_table)


@triton.jit(do_not_specialize=["num_gt", "num_pred"])
def _match_kernel(
    joint_ptr,
    gt_class_ptr,
    pred_class_ptr,
    is_crowd_ptr,
    num_present_ptr,
    pred_area_ptr,
    pred_of_gt_ptr,
    gt_of_pred_ptr,
    iou_ptr,
    is_fn_ptr,
    is_fp_ptr,
    gt_area_ptr,
    num_gt,
    num_pred,
    TILE: tl.constexpr = TILE,
):
    """Match a tile of ground-truth segments, rows of the table.

    A match covers more than half of its segment, as its IoU is above one half; so of the
    predictions of the segment's class only the one with the largest overlap can be it.
    """
    image, first_gt = block_of_image(num_gt, TILE)
    num_rows, num_columns = rows_and_columns(num_present_ptr, image, num_gt, num_pred)
    gt = first_gt + tl.arange(0, TILE)
    in_table = gt < num_rows
    segment = image * num_gt + gt
    gt_class = tl.load(gt_class_ptr + segment, mask=in_table, other=-1)
    is_crowd = tl.load(is_crowd_ptr + segment, mask=in_table, other=0) != 0
    joint_ptr += image * num_gt * num_pred
    if first_gt < num_rows:
        # Walk along the rows, and keep the largest overlap in each column of a tile; which column
        # has the largest of all is looked at last.
        area = tl.zeros([TILE, TILE], tl.int64)
        overlap = tl.zeros([TILE, TILE], tl.int32)
        match = tl.zeros([TILE, TILE], tl.int32)
        for start in range(0, num_columns, TILE):
            pred = start + tl.arange(0, TILE)
            in_row = pred < num_columns
            pred_class = tl.load(pred_class_ptr + image * num_pred + pred, mask=in_row, other=-1)
            cell = gt[:, None].to(tl.int64) * num_pred + pred[None, :]
            mask = in_table[:, None] & in_row[None, :]
            joint = tl.load(joint_ptr + cell, mask=mask, other=0).to(tl.int32)
            area += joint
            is_larger = (gt_class[:, None] == pred_class[None, :]) & (joint > overlap)
            overlap = tl.where(is_larger, joint, overlap)
            match = tl.where(is_larger, pred[None, :], match)
        area = tl.sum(area, 1)
        largest = tl.max(overlap, 1)
        match = tl.max(tl.where(overlap == largest[:, None], match, 0), 1)

        # Its IoU, where it is a match.
        is_segment = in_table & (gt_class >= 0) & ~is_crowd
        is_candidate = is_segment & (largest > 0)
        pred_segment = image * num_pred + match
        pred_area = tl.load(pred_area_ptr + pred_segment, mask=is_candidate, other=1)
        on_void = tl.load(joint_ptr + match, mask=is_candidate, other=0)
        joint = largest.to(tl.int64)
        union = area + pred_area - on_void - joint
        is_tp = is_candidate & (2 * joint > union)
        iou = tl.where(is_tp, joint, 0).to(tl.float64) / tl.where(is_tp, union, 1).to(tl.float64)

        # Tell both sides; at most one segment matches a prediction, so no two store to one place.
        tl.store(pred_of_gt_ptr + segment, tl.where(is_tp, match, 0).to(tl.int64), mask=in_table)
        tl.store(iou_ptr + segment, iou, mask=in_table)
        tl.store(is_fn_ptr + segment, is_segment & (area > 0) & ~is_tp, mask=in_table)
        tl.store(gt_area_ptr + segment, area, mask=in_table)
        tl.store(gt_of_pred_ptr + pred_segment, gt.to(tl.int64), mask=is_tp)
        tl.store(is_fp_ptr + pred_segment, tl.zeros([TILE], tl.int1), mask=is_tp)

"""The Triton twin of `match_segments`: the table is read once by columns and once by rows."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.scoring.contract import SegmentMatches

# Segments of either map: 32 x 32 counters are eight a thread of Triton's four warps, and a row of
# them is 128 bytes.
TILE = 32


@torch.library.custom_op("pps_torch::match_segments", mutates_args=())
def match_segments(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, is_crowd: Tensor, last_crowd_only: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See [`match_segments`][pps_torch.ops.scoring.match_segments.match_segments]."""
    matches = _empty_matches(joint)
    num_images, num_gt, num_pred = joint.shape
    if joint.numel():
        tables = {
            "joint_ptr": joint.contiguous(),
            "gt_class_ptr": gt_class.contiguous(),
            "pred_class_ptr": pred_class.contiguous(),
            "is_crowd_ptr": is_crowd.contiguous(),
            "num_gt": num_gt,
            "num_pred": num_pred,
        }
        with torch.cuda.device_of(joint):
            _judge_predictions_kernel[(triton.cdiv(num_pred, TILE), num_images)](
                **tables,
                gt_of_pred_ptr=matches.gt_of_pred,
                is_fp_ptr=matches.is_fp,
                pred_area_ptr=matches.pred_area,
                LAST_CROWD_ONLY=last_crowd_only,
                TILE=TILE,
            )
            _match_kernel[(triton.cdiv(num_gt, TILE), num_images)](
                **tables,
                pred_area_ptr=matches.pred_area,
                pred_of_gt_ptr=matches.pred_of_gt,
                gt_of_pred_ptr=matches.gt_of_pred,
                iou_ptr=matches.iou,
                is_fn_ptr=matches.is_fn,
                is_fp_ptr=matches.is_fp,
                gt_area_ptr=matches.gt_area,
                TILE=TILE,
            )
    return (*matches,)


@match_segments.register_fake
def _(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, is_crowd: Tensor, last_crowd_only: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (*_empty_matches(joint),)


def _empty_matches(joint: Tensor) -> SegmentMatches:
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


@triton.jit(do_not_specialize=["num_gt", "num_pred"])
def _judge_predictions_kernel(
    joint_ptr,
    gt_class_ptr,
    pred_class_ptr,
    is_crowd_ptr,
    gt_of_pred_ptr,
    is_fp_ptr,
    pred_area_ptr,
    num_gt,
    num_pred,
    LAST_CROWD_ONLY: tl.constexpr,
    TILE: tl.constexpr,
):
    """Judge a tile of predictions, columns of the table, as if nothing matched them.

    That gives their areas, and which are then false positives.
    """
    image = tl.program_id(1).to(tl.int64)
    pred = tl.program_id(0) * TILE + tl.arange(0, TILE)
    in_table = pred < num_pred
    pred_class = tl.load(pred_class_ptr + image * num_pred + pred, mask=in_table, other=-1)
    joint_ptr += image * num_gt * num_pred

    # Walk down the columns, and sum up what lies on each prediction and on crowds of its class.
    area = tl.zeros([TILE], tl.int64)
    on_crowd = tl.zeros([TILE], tl.int64)
    for start in range(0, num_gt, TILE):
        gt = start + tl.arange(0, TILE)
        gt_class = tl.load(gt_class_ptr + image * num_gt + gt, mask=gt < num_gt, other=-1)
        is_crowd = tl.load(is_crowd_ptr + image * num_gt + gt, mask=gt < num_gt, other=0) != 0
        cell = gt[:, None].to(tl.int64) * num_pred + pred[None, :]
        mask = (gt < num_gt)[:, None] & in_table[None, :]
        joint = tl.load(joint_ptr + cell, mask=mask, other=0).to(tl.int64)
        area += tl.sum(joint, 0)
        is_own = (is_crowd & (gt_class >= 0))[:, None] & (gt_class[:, None] == pred_class[None, :])
        if LAST_CROWD_ONLY:
            last = tl.max(tl.where(is_own, gt[:, None], -1), 0)
            on_last = tl.sum(tl.where(is_own & (gt[:, None] == last[None, :]), joint, 0), 0)
            on_crowd = tl.where(last >= 0, on_last, on_crowd)
        else:
            on_crowd += tl.sum(tl.where(is_own, joint, 0), 0)

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
    pred_area_ptr,
    pred_of_gt_ptr,
    gt_of_pred_ptr,
    iou_ptr,
    is_fn_ptr,
    is_fp_ptr,
    gt_area_ptr,
    num_gt,
    num_pred,
    TILE: tl.constexpr,
):
    """Match a tile of ground-truth segments, rows of the table.

    The IoU is above one half when `3 * joint - (pred_area - on_void) > gt_area`. At most one
    prediction fulfils that, so it is the one whose left side, the margin, is largest.
    """
    image = tl.program_id(1).to(tl.int64)
    gt = tl.program_id(0) * TILE + tl.arange(0, TILE)
    in_table = gt < num_gt
    segment = image * num_gt + gt
    gt_class = tl.load(gt_class_ptr + segment, mask=in_table, other=-1)
    is_crowd = tl.load(is_crowd_ptr + segment, mask=in_table, other=0) != 0
    joint_ptr += image * num_gt * num_pred

    # Walk along the rows, and keep the prediction of the largest margin.
    area = tl.zeros([TILE], tl.int64)
    best_margin = tl.full([TILE], -(1 << 60), tl.int64)
    best_pred = tl.zeros([TILE], tl.int64)
    for start in range(0, num_pred, TILE):
        pred = start + tl.arange(0, TILE)
        in_row = pred < num_pred
        pred_segment = image * num_pred + pred
        pred_class = tl.load(pred_class_ptr + pred_segment, mask=in_row, other=-1)
        pred_area = tl.load(pred_area_ptr + pred_segment, mask=in_row, other=0)
        on_void = tl.load(joint_ptr + pred, mask=in_row, other=0).to(tl.int64)
        cell = gt[:, None].to(tl.int64) * num_pred + pred[None, :]
        mask = in_table[:, None] & in_row[None, :]
        joint = tl.load(joint_ptr + cell, mask=mask, other=0).to(tl.int64)
        area += tl.sum(joint, 1)
        margin = 3 * joint - (pred_area - on_void)[None, :]
        same_class = gt_class[:, None] == pred_class[None, :]
        margin = tl.where(same_class & mask, margin, -(1 << 60))
        tile_margin = tl.max(margin, 1)
        at_margin = tl.where(margin == tile_margin[:, None], pred[None, :], -1)
        tile_pred = tl.max(at_margin, 1)
        best_pred = tl.where(tile_margin > best_margin, tile_pred, best_pred)
        best_margin = tl.maximum(best_margin, tile_margin)

    # Its IoU, where it is a match.
    is_segment = in_table & (gt_class >= 0) & ~is_crowd
    is_tp = is_segment & (best_margin > area)
    match = tl.where(is_tp, best_pred, 0)
    pred_segment = image * num_pred + match
    joint = tl.load(joint_ptr + gt.to(tl.int64) * num_pred + match, mask=is_tp, other=0)
    on_void = tl.load(joint_ptr + match, mask=is_tp, other=0)
    pred_area = tl.load(pred_area_ptr + pred_segment, mask=is_tp, other=1)
    union = tl.where(is_tp, area, 0) + pred_area - on_void - joint
    iou = joint.to(tl.float64) / union.to(tl.float64)

    # Tell both sides; at most one segment matches a prediction, so no two store to one place.
    tl.store(pred_of_gt_ptr + segment, match, mask=in_table)
    tl.store(iou_ptr + segment, iou, mask=in_table)
    tl.store(is_fn_ptr + segment, is_segment & (area > 0) & ~is_tp, mask=in_table)
    tl.store(gt_area_ptr + segment, area, mask=in_table)
    tl.store(gt_of_pred_ptr + pred_segment, gt.to(tl.int64), mask=is_tp)
    tl.store(is_fp_ptr + pred_segment, tl.zeros([TILE], tl.int1), mask=is_tp)

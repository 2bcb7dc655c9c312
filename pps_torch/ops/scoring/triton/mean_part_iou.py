"""The Triton twin of `mean_part_iou`: one program a ground-truth segment."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher
from pps_torch.ops.scoring.contract import (
    FRACTION_BITS,
    NUM_PART_LABELS,
    OTHER_PART,
    OUTSIDE,
    SAME_PART,
)
from pps_torch.reserved import PPS_VOID

# Segments a step, as many as there are part labels: two a thread of Triton's four warps in both.
TILE = 256


@direct_operator("pps_torch::mean_part_iou")
def mean_part_iou(
    gt_parts: Tensor,
    pred_parts: Tensor,
    pred_of_gt: Tensor,
    mask_iou: Tensor,
    gt_area: Tensor,
    gt_class: Tensor,
    is_crowd: Tensor,
    has_parts: Tensor,
) -> Tensor:
    """See [`mean_part_iou`][pps_torch.ops.scoring.mean_part_iou.mean_part_iou]."""
    scores = torch.empty_like(mask_iou, memory_format=torch.contiguous_format)
    num_images, num_gt = gt_class.shape
    if gt_class.numel():
        inputs = (gt_parts, pred_parts, pred_of_gt, mask_iou, gt_area, gt_class)
        launch = Launcher("mean_part_iou", *inputs, is_crowd, has_parts)
        with torch.cuda.device_of(gt_parts):
            launch(
                _average_part_ious_kernel,
                num_images * num_gt,
                gt_parts_ptr=gt_parts.contiguous(),
                pred_parts_ptr=pred_parts.contiguous(),
                pred_of_gt_ptr=pred_of_gt.contiguous(),
                mask_iou_ptr=mask_iou.contiguous(),
                gt_area_ptr=gt_area.contiguous(),
                gt_class_ptr=gt_class.contiguous(),
                is_crowd_ptr=is_crowd.contiguous(),
                has_parts_ptr=has_parts.contiguous(),
                scores_ptr=scores,
                num_gt=num_gt,
                num_pred=pred_parts.shape[1],
            )
    return scores


@mean_part_iou.register_fake
def _(
    gt_parts: Tensor,
    pred_parts: Tensor,
    pred_of_gt: Tensor,
    mask_iou: Tensor,
    gt_area: Tensor,
    gt_class: Tensor,
    is_crowd: Tensor,
    has_parts: Tensor,
) -> Tensor:
    return torch.empty_like(mask_iou, memory_format=torch.contiguous_format)


@triton.jit
def _average_part_ious_kernel(
    gt_parts_ptr,
    pred_parts_ptr,
    pred_of_gt_ptr,
    mask_iou_ptr,
    gt_area_ptr,
    gt_class_ptr,
    is_crowd_ptr,
    has_parts_ptr,
    scores_ptr,
    num_gt,
    num_pred,
    TILE: tl.constexpr = TILE,
):
    """Score one ground-truth segment; most have no match with parts, and are done at once."""
    image = (tl.program_id(0) // num_gt).to(tl.int64)
    segment = image * num_gt + tl.program_id(0) % num_gt
    match = tl.load(pred_of_gt_ptr + segment)
    score = tl.load(mask_iou_ptr + segment)
    has_parts = tl.load(has_parts_ptr + segment).to(tl.int32)
    if (match > 0) & (has_parts != 0):
        evaluated = evaluated_area(
            gt_area_ptr + image * num_gt,
            gt_class_ptr + image * num_gt,
            is_crowd_ptr + image * num_gt,
            tl.load(gt_class_ptr + segment),
            num_gt,
            TILE,
        )
        score = part_score(
            gt_parts_ptr, segment, pred_parts_ptr, image * num_pred + match, evaluated
        )
    tl.store(scores_ptr + segment, score)


@triton.jit
def evaluated_area(
    gt_area_ptr, gt_class_ptr, is_crowd_ptr, segment_class, num_gt, TILE: tl.constexpr
):
    """Pixels of the segments of one image that are no crowd of a class."""
    evaluated = tl.zeros([TILE], tl.int64)
    for start in range(0, num_gt, TILE):
        gt = start + tl.arange(0, TILE)
        in_image = (gt > 0) & (gt < num_gt)
        area = tl.load(gt_area_ptr + gt, mask=in_image, other=0)
        gt_class = tl.load(gt_class_ptr + gt, mask=in_image, other=-1)
        is_crowd = tl.load(is_crowd_ptr + gt, mask=in_image, other=0) != 0
        evaluated += tl.where(is_crowd & (gt_class == segment_class), 0, area)
    return tl.sum(evaluated, 0)


@triton.jit
def part_score(
    gt_parts_ptr,
    gt_row,
    pred_parts_ptr,
    pred_row,
    evaluated,
    NUM_PART_LABELS: tl.constexpr = NUM_PART_LABELS,
    PPS_VOID: tl.constexpr = PPS_VOID,
    OUTSIDE: tl.constexpr = OUTSIDE,
    SAME_PART: tl.constexpr = SAME_PART,
    OTHER_PART: tl.constexpr = OTHER_PART,
    FRACTION_BITS: tl.constexpr = FRACTION_BITS,
):
    """Mean IoU of the part labels of one segment and its match.

    Args:
        gt_parts_ptr, gt_row, pred_parts_ptr, pred_row: the counts of the segment and of its match,
            rows of the two tables of the batch.
        evaluated: pixels of the image that are evaluated for the segment's class.
    """
    # First the pixels of each label in the segment and in its match, in place of label 0 the
    # background: what is evaluated and has no part.
    label = tl.arange(0, NUM_PART_LABELS)
    gt_parts_ptr += gt_row * NUM_PART_LABELS
    pred_parts_ptr += pred_row * 3 * NUM_PART_LABELS
    gt_count = tl.load(gt_parts_ptr + label).to(tl.int64)
    outside = tl.load(pred_parts_ptr + OUTSIDE * NUM_PART_LABELS + label).to(tl.int64)
    same = tl.load(pred_parts_ptr + SAME_PART * NUM_PART_LABELS + label).to(tl.int64)
    other = tl.load(pred_parts_ptr + OTHER_PART * NUM_PART_LABELS + label).to(tl.int64)
    pred_count = outside + same + other
    is_part = label > 0
    num_evaluated = evaluated - tl.sum(tl.where(is_part, 0, gt_count), 0)
    gt_inside = tl.sum(tl.where(is_part, gt_count, 0), 0)
    pred_background = num_evaluated - tl.sum(tl.where(is_part, pred_count, 0), 0)
    covered = tl.sum(tl.where(is_part, same + other, 0), 0)
    gt_count = tl.where(is_part, gt_count, num_evaluated - gt_inside)
    pred_count = tl.where(is_part, pred_count, pred_background)
    intersection = tl.where(is_part, same, pred_background - (gt_inside - covered))

    # Then the mean of the IoUs, of which each is cut before it is added.
    union = gt_count + pred_count - intersection
    is_label = (union > 0) & (label != PPS_VOID)
    iou = intersection.to(tl.float64) / tl.where(is_label, union, 1).to(tl.float64)
    total = tl.sum((tl.where(is_label, iou, 0.0) * (1 << FRACTION_BITS)).to(tl.int64), 0)
    num_labels = tl.maximum(tl.sum(is_label.to(tl.int32), 0), 1)
    return total.to(tl.float64) / (1 << FRACTION_BITS) / num_labels.to(tl.float64)

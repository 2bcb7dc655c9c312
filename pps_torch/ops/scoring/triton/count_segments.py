"""The Triton twin of `count_segments`: one operator, six launches, and no table but its own."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.counting.triton.joint_counts import launch_count_pairs
from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.scoring.contract import SegmentMatches
from pps_torch.ops.scoring.triton.class_sums import add_segments
from pps_torch.ops.scoring.triton.match_segments import launch_match_segments
from pps_torch.ops.scoring.triton.segment_classes import add_unclassed, class_of_segment

BLOCK = 128  # one segment a thread of Triton's four warps: tables are short


@direct_operator("pps_torch::count_segments", mutates_args=("class_sums", "faults"))
def count_segments(
    class_sums: Tensor,
    faults: Tensor,
    gt_map: Tensor,
    pred_map: Tensor,
    gt_categories: Tensor,
    pred_categories: Tensor,
    is_crowd: Tensor,
    class_ids: Tensor,
    last_crowd_only: bool,
) -> None:
    """See [`count_segments`][pps_torch.ops.scoring.count_segments.count_segments]."""
    num_images = gt_map.shape[0]
    if num_images == 0:
        return
    num_gt, num_pred = (c.shape[1] + 2 for c in (gt_categories, pred_categories))
    joint = gt_map.new_zeros(num_images, num_gt, num_pred, dtype=torch.int32)
    gt_class, pred_of_gt, gt_area, iou = class_ids.new_empty(4, num_images, num_gt).unbind()
    pred_class, gt_of_pred, pred_area = class_ids.new_empty(3, num_images, num_pred).unbind()
    crowds, is_fn = is_crowd.new_empty(2, num_images, num_gt).unbind()
    matches = SegmentMatches(
        pred_of_gt=pred_of_gt,
        gt_of_pred=gt_of_pred,
        iou=iou.view(torch.float64),
        is_fn=is_fn,
        is_fp=is_crowd.new_empty(num_images, num_pred),
        gt_area=gt_area,
        pred_area=pred_area,
    )
    launch = Launcher(
        "count_segments",
        class_sums,
        faults,
        gt_map,
        pred_map,
        gt_categories,
        pred_categories,
        is_crowd,
        class_ids,
        last_crowd_only,
    )
    with torch.cuda.device_of(gt_map):
        launch(
            _look_up_segments_kernel,
            num_images * num_blocks(max(num_gt, num_pred), BLOCK),
            gt_categories_ptr=gt_categories.contiguous(),
            pred_categories_ptr=pred_categories.contiguous(),
            is_crowd_ptr=is_crowd.contiguous(),
            class_ids_ptr=class_ids.contiguous(),
            gt_class_ptr=gt_class,
            pred_class_ptr=pred_class,
            crowds_ptr=crowds,
            num_gt=num_gt,
            num_pred=num_pred,
            num_classes=class_ids.shape[0],
        )
        launch_count_pairs(launch, gt_map.contiguous(), pred_map.contiguous(), joint)
        launch_match_segments(
            launch, matches, joint, gt_class, pred_class, crowds, last_crowd_only=last_crowd_only
        )
        _launch_add_matches(launch, class_sums, faults, matches, gt_class, pred_class)


@count_segments.register_fake
def _(*_: Any) -> None:
    """Nothing is allocated."""


def _launch_add_matches(
    launch: Launcher,
    class_sums: Tensor,
    faults: Tensor,
    matches: SegmentMatches,
    gt_class: Tensor,
    pred_class: Tensor,
) -> None:
    num_gt, num_pred = gt_class.numel(), pred_class.numel()
    launch(
        _add_matches_kernel,
        num_blocks(max(num_gt, num_pred), BLOCK),
        class_sums_ptr=class_sums,
        faults_ptr=faults,
        pred_of_gt_ptr=matches.pred_of_gt,
        iou_ptr=matches.iou,
        is_fn_ptr=matches.is_fn,
        is_fp_ptr=matches.is_fp,
        gt_area_ptr=matches.gt_area,
        pred_area_ptr=matches.pred_area,
        gt_class_ptr=gt_class,
        pred_class_ptr=pred_class,
        num_gt=num_gt,
        num_pred=num_pred,
    )


@triton.jit(do_not_specialize=["num_gt", "num_pred"])
def _look_up_segments_kernel(
    gt_categories_ptr,
    pred_categories_ptr,
    is_crowd_ptr,
    class_ids_ptr,
    gt_class_ptr,
    pred_class_ptr,
    crowds_ptr,
    num_gt,
    num_pred,
    num_classes,
    BLOCK: tl.constexpr = BLOCK,
):
    """Look the categories of a block of segments of both maps up, and which are crowds."""
    image, start = block_of_image(tl.maximum(num_gt, num_pred), BLOCK)
    segment = start + tl.arange(0, BLOCK)
    in_gt, in_pred = segment < num_gt, segment < num_pred
    num_rows = num_gt - 2
    table_ptr = gt_categories_ptr + image * num_rows
    gt_class = class_of_segment(table_ptr, segment, num_rows, class_ids_ptr, num_classes)
    is_row = (segment >= 1) & (segment <= num_rows)
    is_crowd = tl.load(is_crowd_ptr + image * num_rows + segment - 1, mask=is_row, other=0)
    tl.store(gt_class_ptr + image * num_gt + segment, gt_class, mask=in_gt)
    tl.store(crowds_ptr + image * num_gt + segment, is_crowd, mask=in_gt)

    num_rows = num_pred - 2
    table_ptr = pred_categories_ptr + image * num_rows
    pred_class = class_of_segment(table_ptr, segment, num_rows, class_ids_ptr, num_classes)
    tl.store(pred_class_ptr + image * num_pred + segment, pred_class, mask=in_pred)


@triton.jit(do_not_specialize=["num_gt", "num_pred"])
def _add_matches_kernel(
    class_sums_ptr,
    faults_ptr,
    pred_of_gt_ptr,
    iou_ptr,
    is_fn_ptr,
    is_fp_ptr,
    gt_area_ptr,
    pred_area_ptr,
    gt_class_ptr,
    pred_class_ptr,
    num_gt,
    num_pred,
    BLOCK: tl.constexpr = BLOCK,
):
    """Add a block of segments of either map, flat over the batch, to the sums and the faults."""
    segment = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_gt, in_pred = segment < num_gt, segment < num_pred
    gt_class = tl.load(gt_class_ptr + segment, mask=in_gt, other=-1)
    pred_class = tl.load(pred_class_ptr + segment, mask=in_pred, other=-1)
    is_tp = tl.load(pred_of_gt_ptr + segment, mask=in_gt, other=0) > 0
    iou = tl.load(iou_ptr + segment, mask=is_tp, other=0.0)
    is_fn = tl.load(is_fn_ptr + segment, mask=in_gt, other=0) != 0
    is_fp = tl.load(is_fp_ptr + segment, mask=in_pred, other=0) != 0
    add_segments(class_sums_ptr, gt_class, is_tp, iou, is_fn, pred_class, is_fp)

    # Faults of the prediction and of the ground truth take turns.
    pred_area = tl.load(pred_area_ptr + segment, mask=in_pred, other=0)
    gt_area = tl.load(gt_area_ptr + segment, mask=in_gt, other=0)
    add_unclassed(faults_ptr, faults_ptr + 2, pred_class, pred_area)
    add_unclassed(faults_ptr + 1, faults_ptr + 3, gt_class, gt_area)

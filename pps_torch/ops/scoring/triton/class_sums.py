"""The Triton twin of `add_to_class_sums`: integers are added atomically, in any order."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.scoring.contract import LIMB_BITS

BLOCK = 256  # two segments a thread of Triton's four warps: a batch is some dozens of programs


@direct_operator("pps_torch::add_to_class_sums", mutates_args=("class_sums",))
def add_to_class_sums(
    class_sums: Tensor,
    pred_of_gt: Tensor,
    is_fn: Tensor,
    scores: Tensor,
    gt_class: Tensor,
    is_fp: Tensor,
    pred_class: Tensor,
) -> None:
    """See [`add_to_class_sums`][pps_torch.ops.scoring.class_sums.add_to_class_sums]."""
    num_gt, num_pred = gt_class.numel(), pred_class.numel()
    if num_gt + num_pred:
        sums = class_sums.contiguous()
        inputs = (class_sums, pred_of_gt, is_fn, scores, gt_class, is_fp, pred_class)
        launch = Launcher("add_to_class_sums", *inputs)
        with torch.cuda.device_of(class_sums):
            launch(
                _add_segments_kernel,
                num_blocks(max(num_gt, num_pred), BLOCK),
                class_sums_ptr=sums,
                pred_of_gt_ptr=pred_of_gt.contiguous(),
                is_fn_ptr=is_fn.contiguous(),
                scores_ptr=scores.contiguous(),
                gt_class_ptr=gt_class.contiguous(),
                is_fp_ptr=is_fp.contiguous(),
                pred_class_ptr=pred_class.contiguous(),
                num_gt=num_gt,
                num_pred=num_pred,
            )
        if not class_sums.is_contiguous():
            class_sums.copy_(sums)


@add_to_class_sums.register_fake
def _(
    class_sums: Tensor,
    pred_of_gt: Tensor,
    is_fn: Tensor,
    scores: Tensor,
    gt_class: Tensor,
    is_fp: Tensor,
    pred_class: Tensor,
) -> None:
    return None


@triton.jit(do_not_specialize=["num_gt", "num_pred"])
def _add_segments_kernel(
    class_sums_ptr,
    pred_of_gt_ptr,
    is_fn_ptr,
    scores_ptr,
    gt_class_ptr,
    is_fp_ptr,
    pred_class_ptr,
    num_gt,
    num_pred,
    BLOCK: tl.constexpr = BLOCK,
):
    """Add a block of segments of either map, flat over the batch, to rows of five sums."""
    segment = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_gt, in_pred = segment < num_gt, segment < num_pred
    is_tp = tl.load(pred_of_gt_ptr + segment, mask=in_gt, other=0) > 0
    is_fn = tl.load(is_fn_ptr + segment, mask=in_gt, other=0) != 0
    is_fp = tl.load(is_fp_ptr + segment, mask=in_pred, other=0) != 0
    score = tl.load(scores_ptr + segment, mask=is_tp, other=0.0)
    gt_class = tl.load(gt_class_ptr + segment, mask=in_gt, other=-1)
    pred_class = tl.load(pred_class_ptr + segment, mask=in_pred, other=-1)
    add_segments(class_sums_ptr, gt_class, is_tp, score, is_fn, pred_class, is_fp)


@triton.jit
def add_segments(
    class_sums_ptr,
    gt_class,
    is_tp,
    score,
    is_fn,
    pred_class,
    is_fp,
    LIMB_BITS: tl.constexpr = LIMB_BITS,
):
    """Add as many segments of either map, or one, to the rows of their classes."""
    iou = (score * (1 << 2 * LIMB_BITS)).to(tl.int64)
    gt_ptr, pred_ptr = class_sums_ptr + 5 * gt_class, class_sums_ptr + 5 * pred_class
    tl.atomic_add(gt_ptr, iou >> LIMB_BITS, mask=is_tp, sem="relaxed")
    tl.atomic_add(gt_ptr + 1, iou & ((1 << LIMB_BITS) - 1), mask=is_tp, sem="relaxed")
    tl.atomic_add(gt_ptr + 2, is_tp.to(tl.int64), mask=is_tp, sem="relaxed")
    tl.atomic_add(pred_ptr + 3, is_fp.to(tl.int64), mask=is_fp, sem="relaxed")
    tl.atomic_add(gt_ptr + 4, is_fn.to(tl.int64), mask=is_fn, sem="relaxed")

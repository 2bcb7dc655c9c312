"""The Triton twin of `rank_instances`: an instance's rank is the number of those before it."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.painting.triton.doubles import bits_of_double, double_of_bits

# Instances that a program ranks, and those that it compares them with at a time: 16 pairs a thread.
_INSTANCES, _OTHERS = 32, 64


@direct_operator("pps_torch::rank_instances")
def rank_instances(
    scores: Tensor, pred_classes: Tensor, score_threshold: float
) -> tuple[Tensor, Tensor]:
    """See [`rank_instances`][pps_torch.ops.painting.rank_instances.rank_instances]."""
    inputs = (scores, pred_classes, score_threshold)
    with torch.cuda.device_of(scores):
        return rank(Launcher("rank_instances", *inputs), *inputs)


@rank_instances.register_fake
def _outputs(scores: Tensor, pred_classes: Tensor, score_threshold: float) -> tuple[Tensor, Tensor]:
    """Allocate the results; all that is known of them while a graph is captured."""
    contiguous = torch.contiguous_format
    order = torch.empty_like(scores, dtype=torch.int64, memory_format=contiguous)
    return order, torch.empty_like(scores, dtype=torch.bool, memory_format=contiguous)


def rank(
    launch: Launcher, scores: Tensor, pred_classes: Tensor, score_threshold: float
) -> tuple[Tensor, Tensor]:
    """Allocate the results for images `(*B, N)`, and launch what fills them."""
    order, eligible = _outputs(scores, pred_classes, score_threshold)
    num_images, num_instances = scores.shape[:-1].numel(), scores.shape[-1]
    if scores.numel():
        launch(
            _rank_kernel,
            num_images * num_blocks(num_instances, _INSTANCES),
            scores_ptr=scores.contiguous(),
            classes_ptr=pred_classes.contiguous(),
            order_ptr=order,
            eligible_ptr=eligible,
            num_instances=num_instances,
            threshold_bits=bits_of_double(score_threshold),
            INSTANCES=_INSTANCES,
            OTHERS=_OTHERS,
        )
    return order, eligible


@triton.jit
def _load_scores(scores_ptr, classes_ptr, index, num_instances):
    """Load scores as float64, -inf for what is no instance; a rank past the end is one."""
    in_image = index < num_instances
    score = tl.load(scores_ptr + index, mask=in_image, other=float("-inf")).to(tl.float64)
    is_none = (score != score) | (tl.load(classes_ptr + index, mask=in_image, other=0) < 0)
    return tl.where(is_none, float("-inf"), score)


@triton.jit(do_not_specialize=["num_instances", "threshold_bits"])
def _rank_kernel(
    scores_ptr,
    classes_ptr,
    order_ptr,
    eligible_ptr,
    num_instances,
    threshold_bits,
    INSTANCES: tl.constexpr,
    OTHERS: tl.constexpr,
):
    """Count, for each instance of a block, those with a higher score, or an equal one before it."""
    image, start = block_of_image(num_instances, INSTANCES)
    first = image * num_instances
    scores_ptr += first
    classes_ptr += first
    index = start + tl.arange(0, INSTANCES)
    score = _load_scores(scores_ptr, classes_ptr, index, num_instances)
    rank = tl.zeros((INSTANCES,), tl.int32)
    for first_other in range(0, num_instances, OTHERS):
        other = first_other + tl.arange(0, OTHERS)
        others = _load_scores(scores_ptr, classes_ptr, other, num_instances)[None, :]
        is_earlier = (others == score[:, None]) & (other[None, :] < index[:, None])
        is_before = is_earlier | (others > score[:, None])
        rank += tl.sum(is_before.to(tl.int32), 1)
    is_eligible = (score >= double_of_bits(threshold_bits)) & (score > float("-inf"))
    tl.store(order_ptr + first + rank, index.to(tl.int64), mask=index < num_instances)
    tl.store(eligible_ptr + first + rank, is_eligible, mask=index < num_instances)

"""Matching of predicted and ground-truth segments, from their joint pixel counts."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.backend import uses_triton
from pps_torch.ops.scoring.contract import SegmentMatches


def match_segments(
    joint: Tensor,
    gt_class: Tensor,
    pred_class: Tensor,
    is_crowd: Tensor,
    *,
    last_crowd_only: bool = False,
    backend: str = "auto",
) -> SegmentMatches:
    """Match segments by the rule of panopticapi's `pq_compute`.

    A prediction and a ground-truth segment of the same class match when their IoU is strictly
    above 0.5; the prediction's overlap with ground-truth void leaves the union, and crowds never
    match. So each segment has at most one match. An unmatched prediction is no false positive
    when more than half of it lies on void and on crowds of its class.

    Args:
        joint: `(B, G, P)` int32 pixels; row and column 0 are void.
        gt_class: `(B, G)` int64 class index, negative for void and for rows without class.
        pred_class: `(B, P)` likewise.
        is_crowd: `(B, G)` bool.
        last_crowd_only: of the crowds of a class only the last one counts towards that half.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Example:
        >>> joint = torch.tensor([[[0, 1, 0], [0, 5, 1]]]).int()  # one segment, two predictions
        >>> gt_class, pred_class = torch.tensor([[-1, 7]]), torch.tensor([[-1, 7, 7]])
        >>> found = match_segments(joint, gt_class, pred_class, torch.zeros(1, 2).bool())
        >>> found.pred_of_gt, found.iou  # 5 of 6 pixels; the one on void leaves the union
        (tensor([[0, 1]]), tensor([[0.0000, 0.8333]], dtype=torch.float64))
        >>> found.is_fp
        tensor([[False, False,  True]])
    """
    if uses_triton(backend, joint):
        from pps_torch.ops.scoring.triton import match_segments as twin

        columns = twin.match_segments(joint, gt_class, pred_class, is_crowd, last_crowd_only)
        return SegmentMatches(*columns)
    joint = joint.long()
    gt_area, pred_area, on_void = joint.sum(2), joint.sum(1), joint[:, 0]
    same_class = (gt_class[:, :, None] == pred_class[:, None, :]) & (gt_class >= 0)[:, :, None]
    union = gt_area[:, :, None] + (pred_area - on_void)[:, None, :] - joint
    # As int32: of bytes, Inductor of torch 2.15 compiles a wrong argmax for the CPU.
    is_match = (same_class & ~is_crowd[:, :, None] & (2 * joint > union)).int()
    pred_of_gt, gt_of_pred = is_match.argmax(2), is_match.argmax(1)
    is_tp = pred_of_gt > 0
    match = pred_of_gt[:, :, None]
    iou = joint.gather(2, match).double() / union.gather(2, match).double()
    absorbs = _last_of_class(is_crowd, gt_class) if last_crowd_only else is_crowd
    absorbed = on_void + (joint * (same_class & absorbs[:, :, None])).sum(1)
    is_candidate = (pred_class >= 0) & (pred_area > 0) & (gt_of_pred == 0)
    return SegmentMatches(
        pred_of_gt=pred_of_gt,
        gt_of_pred=gt_of_pred,
        iou=torch.where(is_tp, iou[:, :, 0], 0.0),
        is_fn=(gt_class >= 0) & (gt_area > 0) & ~is_crowd & ~is_tp,
        is_fp=is_candidate & (2 * absorbed <= pred_area),
        gt_area=gt_area,
        pred_area=pred_area,
    )


def _last_of_class(is_crowd: Tensor, gt_class: Tensor) -> Tensor:
    """The last crowd of each class, bool like `is_crowd`."""
    num_rows = gt_class.shape[1]
    is_later = torch.ones(num_rows, num_rows, dtype=torch.bool, device=gt_class.device).triu(1)
    same_class = gt_class[:, :, None] == gt_class[:, None, :]
    return is_crowd & ~(same_class & is_later & is_crowd[:, None, :]).any(2)

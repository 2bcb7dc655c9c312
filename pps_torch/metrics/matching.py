"""Matching of predicted and ground-truth segments, from their joint pixel counts."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SegmentMatches(NamedTuple):
    """What became of each segment. Index 0 of the segment dimensions is void.

    Attributes:
        pred_of_gt: ``(B, G + 1)`` int64, the matched prediction, 0 for none.
        gt_of_pred: ``(B, P + 1)`` int64, the matched ground truth, 0 for none.
        iou: ``(B, G + 1)`` float64, mask IoU of the match, 0 for none.
        is_tp, is_fn: ``(B, G + 1)`` bool.
        is_fp: ``(B, P + 1)`` bool.
    """

    pred_of_gt: Tensor
    gt_of_pred: Tensor
    iou: Tensor
    is_tp: Tensor
    is_fn: Tensor
    is_fp: Tensor


def match_segments(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, is_crowd: Tensor, absorbs: Tensor
) -> SegmentMatches:
    """Matches segments by the rule of panopticapi's ``pq_compute``.

    A prediction and a ground-truth segment of the same class match when their IoU is strictly
    above 0.5; the prediction's overlap with ground-truth void leaves the union, and crowds never
    match. So each segment has at most one match. An unmatched prediction is no false positive
    when more than half of it lies on void and on crowds of its class that absorb.

    Args:
        joint: ``(B, G + 1, P + 1)`` int64 pixels; row and column 0 are void.
        gt_class: ``(B, G + 1)`` int64 class index, -1 for void and for rows without class.
        pred_class: ``(B, P + 1)`` likewise.
        is_crowd: ``(B, G + 1)`` bool.
        absorbs: ``(B, G + 1)`` bool, crowds that count towards that half.
    """
    gt_area, pred_area, on_void = joint.sum(2), joint.sum(1), joint[:, 0]
    same_class = (gt_class[:, :, None] == pred_class[:, None, :]) & (gt_class >= 0)[:, :, None]
    union = gt_area[:, :, None] + pred_area[:, None, :] - joint - on_void[:, None, :]
    matches = same_class & ~is_crowd[:, :, None] & (2 * joint > union)
    pred_of_gt = matches.to(torch.uint8).argmax(2)
    gt_of_pred = matches.to(torch.uint8).argmax(1)
    is_tp = pred_of_gt > 0
    of_match = pred_of_gt[:, :, None]
    iou = joint.gather(2, of_match).double() / union.gather(2, of_match).double()
    is_segment = (gt_class >= 0) & (gt_area > 0) & ~is_crowd
    absorbed = on_void + (joint * (same_class & absorbs[:, :, None])).sum(1)
    is_candidate = (pred_class >= 0) & (pred_area > 0) & (gt_of_pred == 0)
    return SegmentMatches(
        pred_of_gt=pred_of_gt,
        gt_of_pred=gt_of_pred,
        iou=torch.where(is_tp, iou[:, :, 0], 0.0),
        is_tp=is_tp,
        is_fn=is_segment & ~is_tp,
        is_fp=is_candidate & (2 * absorbed <= pred_area),
    )

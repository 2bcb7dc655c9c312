"""Matching of predicted and ground-truth segments, from the pixels that pairs of them share."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.scoring.contract import SegmentMatches, SegmentPairs
from pps_torch.ops.scoring.on_host import match_on_host


def match_segments(
    pairs: SegmentPairs,
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
        pairs: what segments share, each pair once; segment 0 is void.
        gt_class: `(B, G)` int64 class index, negative for void and for rows without class.
        pred_class: `(B, P)` likewise.
        is_crowd: `(B, G)` bool.
        last_crowd_only: of the crowds of a class only the last one counts towards that half.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton]. Triton takes pairs that are
            all cells of a table.

    Example:
        >>> from pps_torch.ops.scoring.segment_pairs import pairs_of_table
        >>> joint = torch.tensor([[[0, 1, 0], [0, 5, 1]]])  # one segment, two predictions
        >>> gt_class, pred_class = torch.tensor([[-1, 7]]), torch.tensor([[-1, 7, 7]])
        >>> no_crowd, pairs = torch.zeros(1, 2).bool(), pairs_of_table(joint)
        >>> found = match_segments(pairs, gt_class, pred_class, no_crowd)
        >>> found.pred_of_gt, found.iou  # 5 of 6 pixels; the one on void leaves the union
        (tensor([[0, 1]]), tensor([[0.0000, 0.8333]], dtype=torch.float64))
        >>> found.is_fp
        tensor([[False, False,  True]])
    """
    gt, pred, pixels = pairs
    (num_images, num_gt), num_pred = gt_class.shape, pred_class.shape[1]
    is_table = len(pixels) == num_images * num_gt * num_pred
    if uses_triton(backend, pixels) and is_table:
        from pps_torch.ops.scoring.triton import match_segments as twin

        joint = pixels.view(num_images, num_gt, num_pred).int()
        columns = twin.match_segments(joint, gt_class, pred_class, is_crowd, last_crowd_only)
        return SegmentMatches(*columns)
    if is_on_host(pixels):
        return match_on_host(pairs, gt_class, pred_class, is_crowd, last_crowd_only)
    gt_number, pred_number = gt % max(num_gt, 1), pred % max(num_pred, 1)
    gt_area = area_sums(gt, pixels, gt_class)
    pred_area = area_sums(pred, pixels, pred_class)
    off_void = area_sums(pred, pixels * (gt_number > 0), pred_class)
    class_of_gt = gt_class.flatten()[gt]
    same_class = (class_of_gt == pred_class.flatten()[pred]) & (class_of_gt >= 0)
    union = gt_area.flatten()[gt] + off_void.flatten()[pred] - pixels
    is_match = same_class & ~is_crowd.flatten()[gt] & (2 * pixels > union)
    iou = torch.where(is_match, pixels.double() / union.double(), 0.0)
    pred_of_gt = area_sums(gt, pred_number * is_match, gt_class)
    gt_of_pred = area_sums(pred, gt_number * is_match, pred_class)
    absorbs = _last_of_class(is_crowd, gt_class) if last_crowd_only else is_crowd
    absorbed = area_sums(pred, pixels * (same_class & absorbs.flatten()[gt]), pred_class)
    absorbed = pred_area - off_void + absorbed
    is_candidate = (pred_class >= 0) & (pred_area > 0) & (gt_of_pred == 0)
    return SegmentMatches(
        pred_of_gt=pred_of_gt,
        gt_of_pred=gt_of_pred,
        iou=area_sums(gt, iou, gt_class),
        is_fn=(gt_class >= 0) & (gt_area > 0) & ~is_crowd & (pred_of_gt == 0),
        is_fp=is_candidate & (2 * absorbed <= pred_area),
        gt_area=gt_area,
        pred_area=pred_area,
    )


def area_sums(segment: Tensor, values: Tensor, classes: Tensor) -> Tensor:
    """Add up the values of the pairs of each segment.

    Args:
        segment: `(N,)` int64, of each pair, the place in the flattened `(B, S)`.
        values: `(N,)` numbers.
        classes: `(B, S)`; only the shape counts.

    Returns:
        `(B, S)`, the dtype of `values`.
    """
    sums = values.new_zeros(classes.numel())
    return sums.scatter_add_(0, segment, values).view(classes.shape)


def _last_of_class(is_crowd: Tensor, gt_class: Tensor) -> Tensor:
    """The last crowd of each class, bool like `is_crowd`."""
    crowd_class, order = torch.where(is_crowd, gt_class, -1).sort(stable=True, dim=1)
    is_last = torch.ones_like(is_crowd)
    is_last[:, :-1] = crowd_class[:, 1:] != crowd_class[:, :-1]
    return is_crowd & torch.empty_like(is_crowd).scatter_(1, order, is_last)

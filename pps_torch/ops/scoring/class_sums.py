"""Sums over the segments of each class, exact in any order of adding."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.scoring.contract import LIMB_BITS, SegmentMatches
from pps_torch.ops.scoring.on_host import add_on_host


def add_to_class_sums(
    class_sums: Tensor,
    matches: SegmentMatches,
    scores: Tensor,
    gt_class: Tensor,
    pred_class: Tensor,
    *,
    backend: str = "auto",
) -> None:
    """Add the segments of a batch to the sums of their classes.

    Args:
        class_sums: `(C, 5)` int64, changed in place: IoU in two limbs, TP, FP, FN.
        matches: what became of each segment.
        scores: `(B, G)` float64 in 0..1, the IoU of each match; what is below 2**-60 is cut.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64; negative classes take nothing.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].
    """
    if uses_triton(backend, class_sums):
        from pps_torch.ops.scoring.triton import class_sums as twin

        twin.add_to_class_sums(
            class_sums,
            pred_of_gt=matches.pred_of_gt,
            is_fn=matches.is_fn,
            scores=scores,
            gt_class=gt_class,
            is_fp=matches.is_fp,
            pred_class=pred_class,
        )
        return
    if is_on_host(class_sums):
        add_on_host(class_sums, matches, scores, gt_class, pred_class)
        return
    is_tp = matches.pred_of_gt > 0
    iou = (torch.where(is_tp, scores, 0.0) * 2.0 ** (2 * LIMB_BITS)).long()
    upper, lower = iou >> LIMB_BITS, iou & ((1 << LIMB_BITS) - 1)
    no_gt, no_pred = torch.zeros_like(gt_class), torch.zeros_like(pred_class)
    gt_terms = torch.stack([upper, lower, is_tp, no_gt, matches.is_fn], 2)
    pred_terms = torch.stack([no_pred, no_pred, no_pred, matches.is_fp, no_pred], 2)
    num_classes = len(class_sums)
    rows = torch.cat([gt_class, pred_class], 1)
    rows = torch.where(rows < 0, num_classes, rows).flatten()
    sums = class_sums.new_zeros(num_classes + 1, 5)
    sums.index_add_(0, rows, torch.cat([gt_terms, pred_terms], 1).flatten(0, 1))
    class_sums += sums[:num_classes]

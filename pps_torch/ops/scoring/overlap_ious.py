"""IoUs of all segments of a class that overlap, however little: what PQ-dagger sums for stuff."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.scoring.contract import LIMB_BITS, SegmentPairs
from pps_torch.ops.scoring.match_segments import area_sums

_LOWER_LIMB = (1 << LIMB_BITS) - 1


def add_overlap_ious(
    sums: Tensor, pairs: SegmentPairs, gt_class: Tensor, pred_class: Tensor, is_counted: Tensor
) -> None:
    """Add the overlaps of a batch to the sums of their classes.

    The prediction's overlap with ground-truth void leaves the union, as in PQ.

    Args:
        sums: `(C, 3)` int64, changed in place: IoU in two limbs (see
            [`add_to_class_sums`][pps_torch.ops.scoring.class_sums.add_to_class_sums]), and
            ground-truth segments.
        pairs: what segments share; segment 0 is void.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64; negative classes take nothing.
        is_counted: `(B, G)` bool, the ground-truth segments.
    """
    num_classes, (gt, pred, pixels) = len(sums), pairs
    gt_area = area_sums(gt, pixels, gt_class).flatten()
    is_void = gt % max(gt_class.shape[1], 1) == 0
    outside = area_sums(pred, torch.where(is_void, 0, pixels), pred_class).flatten()
    union = gt_area[gt] + outside[pred] - pixels
    is_pair = (gt_class.flatten()[gt] == pred_class.flatten()[pred]) & is_counted.flatten()[gt]
    iou = torch.where(is_pair, pixels, 0).double() / union.clamp(min=1).double()
    iou = (iou * 2.0 ** (2 * LIMB_BITS)).long()
    upper, lower = (area_sums(gt, limb, gt_class) for limb in (iou >> LIMB_BITS, iou & _LOWER_LIMB))
    upper, lower = upper + (lower >> LIMB_BITS), lower & _LOWER_LIMB
    added = torch.stack([upper, lower, is_counted.long()], 2).flatten(0, 1)
    rows = torch.where(gt_class < 0, num_classes, gt_class).flatten()
    sums += sums.new_zeros(num_classes + 1, 3).index_add_(0, rows, added)[:num_classes]

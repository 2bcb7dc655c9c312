"""IoUs of all segments of a class that overlap, however little: what PQ-dagger sums for stuff."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.scoring.contract import LIMB_BITS

_LOWER_LIMB = (1 << LIMB_BITS) - 1


def add_overlap_ious(
    sums: Tensor, joint: Tensor, gt_class: Tensor, pred_class: Tensor, is_counted: Tensor
) -> None:
    """Add the overlaps of a batch to the sums of their classes.

    The prediction's overlap with ground-truth void leaves the union, as in PQ.

    Args:
        sums: `(C, 3)` int64, changed in place: IoU in two limbs (see
            [`add_to_class_sums`][pps_torch.ops.scoring.class_sums.add_to_class_sums]), and
            ground-truth segments.
        joint: `(B, G, P)` int32 pixels; row and column 0 are void.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64; negative classes take nothing.
        is_counted: `(B, G)` bool, the ground-truth segments.
    """
    num_classes = len(sums)
    joint = joint.long()
    outside = joint.sum(1) - joint[:, 0]
    union = joint.sum(2)[:, :, None] + outside[:, None, :] - joint
    is_pair = (gt_class[:, :, None] == pred_class[:, None, :]) & is_counted[:, :, None]
    iou = torch.where(is_pair, joint, 0).double() / union.clamp(min=1).double()
    iou = (iou * 2.0 ** (2 * LIMB_BITS)).long()
    upper, lower = (iou >> LIMB_BITS).sum(2), (iou & _LOWER_LIMB).sum(2)
    upper, lower = upper + (lower >> LIMB_BITS), lower & _LOWER_LIMB
    added = torch.stack([upper, lower, is_counted.long()], 2).flatten(0, 1)
    rows = torch.where(gt_class < 0, num_classes, gt_class).flatten()
    sums += sums.new_zeros(num_classes + 1, 3).index_add_(0, rows, added)[:num_classes]

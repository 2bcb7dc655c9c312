"""From the overlaps of segments to the overlaps of their classes."""

from __future__ import annotations

import torch
from torch import Tensor


def class_confusion(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, num_classes: int
) -> Tensor:
    """Pixels by the class of the ground truth and the class predicted there.

    Args:
        joint: ``(B, G, P)`` int32, pixels that two segments share.
        gt_class, pred_class: ``(B, G)``, ``(B, P)`` int64 class index, negative for none.

    Returns:
        ``(num_classes, num_classes + 1)`` int64; the last column is void. Ground-truth void is in
        no row.
    """
    row = torch.where(gt_class >= 0, gt_class, num_classes)
    column = torch.where(pred_class >= 0, pred_class, num_classes)
    pair = row[:, :, None] * (num_classes + 1) + column[:, None, :]
    sums = pair.new_zeros((num_classes + 1) ** 2)
    sums.scatter_add_(0, pair.flatten(), joint.long().flatten())
    return sums.view(num_classes + 1, num_classes + 1)[:num_classes]

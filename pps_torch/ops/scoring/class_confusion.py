"""From the overlaps of segments to the overlaps of their classes."""

from __future__ import annotations

import torch
from torch import Tensor


def class_confusion(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, num_classes: int
) -> Tensor:
    """Pixels by the class of the ground truth and the class predicted there.

    Args:
        joint: `(B, G, P)` int32, pixels that two segments share.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64 class index, negative for none.

    Returns:
        `(num_classes, num_classes + 1)` int64; the last column is void. Ground-truth void is in
        no row.
    """
    row = torch.where(gt_class >= 0, gt_class, num_classes)
    column = torch.where(pred_class >= 0, pred_class, num_classes)
    # First along the rows of each image: in a table with room for many segments most cells are
    # empty, and would all wait to be added to one number.
    of_segments = joint.new_zeros(*gt_class.shape, num_classes + 1)
    of_segments.scatter_add_(2, column[:, None].expand(joint.shape), joint)
    of_classes = row.new_zeros(num_classes + 1, num_classes + 1)
    of_classes.index_add_(0, row.flatten(), of_segments.flatten(0, 1).long())
    return of_classes[:num_classes]

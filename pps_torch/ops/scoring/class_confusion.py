"""Overlaps of classes, from the overlaps of their segments."""

from __future__ import annotations

import torch
from torch import Tensor


def class_confusion(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, num_classes: int
) -> Tensor:
    """Count pixels by the class of the ground truth and the class predicted there.

    Args:
        joint: `(B, G, P)` int32, pixels that two segments share.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64 class index, negative for none.

    Returns:
        `(num_classes, num_classes + 1)` int64; the last column is void. Ground-truth void is in
        no row.

    Example:
        >>> joint = torch.tensor([[[9, 0, 2], [0, 5, 1]]]).int()  # rows: void, one segment
        >>> gt_class, pred_class = torch.tensor([[-1, 0]]), torch.tensor([[-1, 0, 1]])
        >>> class_confusion(joint, gt_class, pred_class, 2)
        tensor([[5, 1, 0],
                [0, 0, 0]])
    """
    row = torch.where(gt_class >= 0, gt_class, num_classes)
    column = torch.where(pred_class >= 0, pred_class, num_classes)
    # First along the rows of each image: in a table with room for many segments most cells are
    # empty, and would all wait to be added to one number.
    segment_rows = joint.new_zeros(*gt_class.shape, num_classes + 1)
    segment_rows.scatter_add_(2, column[:, None].expand(joint.shape), joint)
    class_rows = row.new_zeros(num_classes + 1, num_classes + 1)
    class_rows.index_add_(0, row.flatten(), segment_rows.flatten(0, 1).long())
    return class_rows[:num_classes]

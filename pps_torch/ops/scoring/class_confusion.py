"""Overlaps of classes, from the overlaps of their segments."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.scoring.contract import SegmentPairs


def class_confusion(
    pairs: SegmentPairs, gt_class: Tensor, pred_class: Tensor, num_classes: int
) -> Tensor:
    """Count pixels by the class of the ground truth and the class predicted there.

    Args:
        pairs: what segments share.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64 class index, negative for none.
        num_classes: classes are `0..num_classes-1`.

    Returns:
        `(B, num_classes, num_classes + 1)` int64; the last column is void. Ground-truth void is in
        no row.

    Example:
        >>> from pps_torch.ops.scoring.segment_pairs import pairs_of_table
        >>> pairs = pairs_of_table(torch.tensor([[[9, 0, 2], [0, 5, 1]]]))  # void, one segment
        >>> gt_class, pred_class = torch.tensor([[-1, 0]]), torch.tensor([[-1, 0, 1]])
        >>> class_confusion(pairs, gt_class, pred_class, 2)
        tensor([[[5, 1, 0],
                 [0, 0, 0]]])
    """
    gt, pred, pixels = pairs
    num_images, num_columns = len(gt_class), num_classes + 1
    row = torch.where(gt_class >= 0, gt_class, num_classes)
    column = torch.where(pred_class >= 0, pred_class, num_classes)
    # First along the rows of each image: in a table with room for many segments most cells are
    # empty, and would all wait to be added to one number.
    segment_rows = pixels.new_zeros(gt_class.numel(), num_columns)
    cells = gt * num_columns + column.flatten()[pred]
    segment_rows.view(-1).scatter_add_(0, cells, pixels)
    image = torch.arange(num_images, device=row.device)[:, None]
    class_rows = pixels.new_zeros(num_images * num_columns, num_columns)
    class_rows.index_add_(0, (image * num_columns + row).flatten(), segment_rows)
    return class_rows.view(num_images, num_columns, num_columns)[:, :num_classes]

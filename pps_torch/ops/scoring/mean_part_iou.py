"""The score of each match in PartPQ: the mean IoU over its part labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.ops.backend import uses_triton
from pps_torch.ops.scoring.contract import (
    FRACTION_BITS,
    OTHER_PART,
    OUTSIDE,
    SAME_PART,
    SegmentMatches,
)


class PartOverlaps(NamedTuple):
    """Pixels of each part label of each ground-truth segment and of its match.

    Attributes:
        intersection, union: `(B, G, L)` int64, by label; 0 is background, the last one void.
        is_label: `(B, G, L)` bool, whether the label is present in either.
    """

    intersection: Tensor
    union: Tensor
    is_label: Tensor


def mean_part_iou(
    gt_parts: Tensor,
    pred_parts: Tensor,
    matches: SegmentMatches,
    gt_class: Tensor,
    is_crowd: Tensor,
    has_parts: Tensor,
    *,
    num_classes: int,
    backend: str = "auto",
) -> Tensor:
    """Mean IoU over every part label that is present in a segment or in its match.

    Background, label 0, is what lies in neither, among the pixels that count: all but void, crowd
    of the class, and the segment's pixels of undefined part. A predicted void part is no label.

    Args:
        gt_parts: `(B, G, L)` int32 pixels of each part; column 0 is the undefined part, the last
            one void. In Triton L is 256.
        pred_parts: `(B, P, 3, L)` int32, see
            [`count_parts`][pps_torch.ops.scoring.contract.IndexedPixels.count_parts].
        matches: what became of each segment.
        gt_class: `(B, G)` int64.
        is_crowd, has_parts: `(B, G)` bool.
        num_classes: classes are `0..num_classes-1`, or negative for none.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `(B, G)` float64; for segments without parts the IoU of their masks.
    """
    if uses_triton(backend, gt_parts):
        from pps_torch.ops.scoring.triton import mean_part_iou as twin

        return twin.mean_part_iou(
            gt_parts=gt_parts,
            pred_parts=pred_parts,
            pred_of_gt=matches.pred_of_gt,
            mask_iou=matches.iou,
            gt_area=matches.gt_area,
            gt_class=gt_class,
            is_crowd=is_crowd,
            has_parts=has_parts,
        )
    overlaps = part_overlaps(gt_parts, pred_parts, matches, gt_class, is_crowd, num_classes)
    union = torch.where(overlaps.is_label, overlaps.union, 1)
    iou = torch.where(overlaps.is_label, overlaps.intersection.double() / union.double(), 0.0)
    total = (iou * 2.0**FRACTION_BITS).long().sum(2)
    num_labels = overlaps.is_label.sum(2).clamp(min=1)
    mean = total.double() / 2.0**FRACTION_BITS / num_labels.double()
    return torch.where(has_parts & (matches.pred_of_gt > 0), mean, matches.iou)


def part_overlaps(
    gt_parts: Tensor,
    pred_parts: Tensor,
    matches: SegmentMatches,
    gt_class: Tensor,
    is_crowd: Tensor,
    num_classes: int,
) -> PartOverlaps:
    """Overlaps of the part labels that `mean_part_iou` takes the mean over; arguments as there.

    Only the rows of matched segments of classes with parts have a meaning.
    """
    images = torch.arange(len(gt_parts), device=gt_parts.device)[:, None]
    counts = pred_parts[images, matches.pred_of_gt].long()
    gt_parts = gt_parts.long()
    same, other = counts[:, :, SAME_PART], counts[:, :, OTHER_PART]
    pred_labels = counts[:, :, OUTSIDE] + same + other

    evaluated = (
        _evaluated_area(matches.gt_area, gt_class, is_crowd, num_classes) - gt_parts[:, :, 0]
    )
    gt_inside = gt_parts[:, :, 1:].sum(2)
    gt_background = evaluated - gt_inside
    pred_background = evaluated - pred_labels[:, :, 1:].sum(2)
    covered = (same + other)[:, :, 1:].sum(2)
    both_background = pred_background - (gt_inside - covered)

    gt_count = torch.cat([gt_background[:, :, None], gt_parts[:, :, 1:]], 2)
    pred_count = torch.cat([pred_background[:, :, None], pred_labels[:, :, 1:]], 2)
    intersection = torch.cat([both_background[:, :, None], same[:, :, 1:]], 2)
    union = gt_count + pred_count - intersection
    is_label = union > 0
    is_label[:, :, -1] = False
    return PartOverlaps(intersection=intersection, union=union, is_label=is_label)


def _evaluated_area(
    gt_area: Tensor, gt_class: Tensor, is_crowd: Tensor, num_classes: int
) -> Tensor:
    """Pixels of the image without void and without crowd of each segment's class, `(B, G)`."""
    column = torch.where(gt_class < 0, num_classes, gt_class)
    crowd_area = gt_area.new_zeros(len(gt_area), num_classes + 1)
    crowd_area.scatter_add_(1, column, gt_area * is_crowd)
    return gt_area[:, 1:].sum(1, keepdim=True) - crowd_area.gather(1, column)

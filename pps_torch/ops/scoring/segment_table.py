"""What the segments of two maps share, with their classes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.ops.scoring.contract import SegmentMatches, SegmentPairs
from pps_torch.ops.scoring.segment_classes import count_unclassed, segment_classes
from pps_torch.ops.scoring.segment_pairs import segment_pairs


class SegmentTable(NamedTuple):
    """What the segments of a batch of two maps share.

    Index 0 is void; the last index stands for all ids outside the tables of the maps, and is a
    segment of no class.

    Attributes:
        pairs: the segments that share pixels.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64, see
            [`segment_classes`][pps_torch.ops.scoring.segment_classes.segment_classes].
        is_crowd: `(B, G)` bool.
    """

    pairs: SegmentPairs
    gt_class: Tensor
    pred_class: Tensor
    is_crowd: Tensor


def segment_table(
    gt_map: Tensor,
    pred_map: Tensor,
    gt_categories: Tensor,
    pred_categories: Tensor,
    is_crowd: Tensor,
    class_ids: Tensor,
    *,
    lengths: Tensor | None = None,
    backend: str = "auto",
) -> SegmentTable:
    """Count the pixels that segments share.

    Arguments are those of `count_segments`; `lengths` are for maps of runs, see
    [`segment_pairs`][pps_torch.ops.scoring.segment_pairs.segment_pairs].
    """
    gt_class, pred_class = (
        segment_classes(categories, class_ids, backend=backend)
        for categories in (gt_categories, pred_categories)
    )
    sizes = gt_class.shape[1], pred_class.shape[1]
    return SegmentTable(
        pairs=segment_pairs(gt_map, pred_map, *sizes, lengths=lengths, backend=backend),
        gt_class=gt_class,
        pred_class=pred_class,
        is_crowd=F.pad(is_crowd, (1, 1)),
    )


def count_faults(table: SegmentTable, matches: SegmentMatches, *, backend: str = "auto") -> Tensor:
    """Count what the tables of the two maps do not cover.

    Returns:
        `(4,)` int64: pixels of pred and of target with an id that has no row, segments of pred and
        of target of an unknown category.
    """
    of_pred = count_unclassed(table.pred_class, matches.pred_area, backend=backend)
    of_gt = count_unclassed(table.gt_class, matches.gt_area, backend=backend)
    return torch.stack([of_pred, of_gt], 1).flatten()

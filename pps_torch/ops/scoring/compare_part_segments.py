"""The segments of a batch of a ground truth and a PPS prediction, compared for PartPQ."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.ops.scoring.contract import (
    VOID,
    PixelRules,
    SegmentMatches,
    SegmentPairs,
    fits_table,
)
from pps_torch.ops.scoring.dense_indices import dense_indices
from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.mean_part_iou import mean_part_iou
from pps_torch.ops.scoring.part_pixels import part_pixels


class ComparedPartSegments(NamedTuple):
    """The segments of a batch, and what became of them. Index 0 is void.

    Attributes:
        pairs: the segments that share pixels.
        matches: what became of each segment.
        scores: `(B, G)` float64, the IoU that a match counts with.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64 class index, negative for none.
        is_crowd, has_parts: `(B, G)` bool.
        gt_parts, pred_parts: `(B, G, L)`, `(B, P, 3, L)` int32 pixels, as for
            [`mean_part_iou`][pps_torch.ops.scoring.mean_part_iou.mean_part_iou].
        gt_keys, pred_keys: `(B, G)`, `(B, P)` int64, see
            [`PixelRules`][pps_torch.ops.scoring.contract.PixelRules].
        faults: `(6,)` int64, by `PIXEL_FAULTS` and `SEGMENT_FAULTS`.
        num_unknown: `(2,)` int64, see
            [`SegmentMarks`][pps_torch.ops.scoring.contract.SegmentMarks].
    """

    pairs: SegmentPairs
    matches: SegmentMatches
    scores: Tensor
    gt_class: Tensor
    pred_class: Tensor
    is_crowd: Tensor
    has_parts: Tensor
    gt_parts: Tensor
    pred_parts: Tensor
    gt_keys: Tensor
    pred_keys: Tensor
    faults: Tensor
    num_unknown: Tensor


def compare_part_segments(
    uids: Tensor,
    pps: Tensor,
    rules: PixelRules,
    *,
    lengths: Tensor | None = None,
    backend: str = "auto",
) -> ComparedPartSegments:
    """Compare the segments of a batch; arguments, errors as for `part_pixels`.

    Triton compares where [`fits_table`][pps_torch.ops.scoring.contract.fits_table] says so of the
    capacity.

    Segments match on their whole masks. A crowd is what the ground truth has of a class of things
    without instance id, and a segment of a class with parts that has no part label at all.
    """
    if not fits_table(rules.capacity + 1, rules.capacity + 1):
        backend = "torch"
    pixels = part_pixels(uids, pps, rules, lengths=lengths, backend=backend)
    marks = pixels.mark()
    gt = dense_indices(marks.gt, rules.capacity, backend=backend)
    pred = dense_indices(marks.pred, rules.capacity, backend=backend)
    segments = pixels.index(gt, pred)
    pairs, gt_parts = segments.count_overlaps()

    tables, slots = rules.tables, rules.capacity + 2
    gt_class = torch.where(gt.keys > 0, tables.class_of_group[(gt.keys - 1) // slots], VOID)
    pred_class = torch.where(pred.keys > 0, (pred.keys - 1) // slots, VOID)
    has_parts = (gt.keys > 0) & tables.has_parts_class[gt_class]
    is_labelled = marks.is_labelled.gather(1, gt.keys)
    is_crowd = (gt.keys > 0) & ((gt.keys % slots == 0) | (has_parts & ~is_labelled))
    matches = match_segments(pairs, gt_class, pred_class, is_crowd, backend=backend)
    pred_parts = segments.count_parts(matches.gt_of_pred, gt_class, is_crowd)
    scores = mean_part_iou(
        gt_parts,
        pred_parts,
        matches,
        gt_class,
        is_crowd,
        has_parts,
        num_classes=len(tables.has_parts_class),
        backend=backend,
    )
    return ComparedPartSegments(
        pairs=pairs,
        matches=matches,
        scores=scores,
        gt_class=gt_class,
        pred_class=pred_class,
        is_crowd=is_crowd,
        has_parts=has_parts,
        gt_parts=gt_parts,
        pred_parts=pred_parts,
        gt_keys=gt.keys,
        pred_keys=pred.keys,
        faults=torch.cat([marks.faults, torch.stack([gt.num_dropped, pred.num_dropped])]),
        num_unknown=marks.num_unknown,
    )

"""Matching of segments whose boundaries must overlap as well as their masks."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.scoring.contract import VOID, SegmentMatches, SegmentPairs
from pps_torch.ops.scoring.match_segments import area_sums, match_segments


def match_boundaries(
    matches: SegmentMatches,
    pairs: SegmentPairs,
    boundary_pairs: SegmentPairs,
    gt_class: Tensor,
    pred_class: Tensor,
    is_crowd: Tensor,
    *,
    backend: str = "auto",
) -> tuple[SegmentMatches, Tensor]:
    """Match segments by the rule of Boundary PQ.

    Its IoU is the smaller one of the IoU of the masks and that of the boundaries, and a match has
    it strictly above 0.5, so each is also a match of the masks. In the union of the boundaries, as
    in that of the masks, the prediction's part on ground-truth void is left out. What excuses an
    unmatched prediction is the masks' overlap, as for PQ.

    Args:
        matches: of the masks.
        pairs: what the masks share.
        boundary_pairs: what the boundaries share; segment 0 is void, and the last ones hold the
            interiors.
        gt_class, pred_class, is_crowd: as for
            [`match_segments`][pps_torch.ops.scoring.match_segments.match_segments].
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        the matches, and `(B, G)` float64, the IoU that each counts with, 0 without a match.
    """
    match = matches.pred_of_gt
    gt, pred, pixels = boundary_pairs
    num_gt, num_pred = gt_class.shape[1], pred_class.shape[1]
    is_own = match.flatten()[gt] == pred % num_pred
    overlap = area_sums(gt, pixels * is_own, gt_class)
    outside = area_sums(pred, pixels * (gt % num_gt > 0), pred_class)
    union = area_sums(gt, pixels, gt_class) + outside.gather(1, match) - overlap
    is_match = (match > 0) & (2 * overlap > union)
    is_dropped = (match > 0) & ~is_match
    # Without a class the dropped segments match nothing, and nothing else can take their place.
    gt_class = torch.where(is_dropped, VOID, gt_class)
    kept = match_segments(
        pairs, gt_class, pred_class, is_crowd, last_crowd_only=True, backend=backend
    )
    iou = overlap.double() / union.clamp(min=1).double()
    scores = torch.where(is_match, torch.minimum(matches.iou, iou), 0.0)
    # Not `_replace`: torch.compile cannot capture it.
    found = SegmentMatches(
        pred_of_gt=kept.pred_of_gt,
        gt_of_pred=kept.gt_of_pred,
        iou=kept.iou,
        is_fn=kept.is_fn | is_dropped,
        is_fp=kept.is_fp,
        gt_area=kept.gt_area,
        pred_area=kept.pred_area,
    )
    return found, scores

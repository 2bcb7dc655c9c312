"""Matching of segments whose boundaries must overlap as well as their masks."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.scoring.contract import VOID, SegmentMatches
from pps_torch.ops.scoring.match_segments import match_segments


def match_boundaries(
    matches: SegmentMatches,
    joint: Tensor,
    boundary_joint: Tensor,
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
        joint: `(B, G, P)` int32 pixels of the masks.
        boundary_joint: `(B, G, P)` int32 pixels of the boundaries; row and column 0 are void,
            and the last ones hold the interiors.
        gt_class, pred_class, is_crowd: as for
            [`match_segments`][pps_torch.ops.scoring.match_segments.match_segments].
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        the matches, and `(B, G)` float64, the IoU that each counts with, 0 without a match.
    """
    boundary_joint = boundary_joint.long()
    match = matches.pred_of_gt
    overlap = boundary_joint.gather(2, match[:, :, None])[:, :, 0]
    outside = boundary_joint.sum(1) - boundary_joint[:, 0]
    union = boundary_joint.sum(2) + outside.gather(1, match) - overlap
    is_match = (match > 0) & (2 * overlap > union)
    is_dropped = (match > 0) & ~is_match
    # Without a class the dropped segments match nothing, and nothing else can take their place.
    gt_class = torch.where(is_dropped, VOID, gt_class)
    kept = match_segments(
        joint, gt_class, pred_class, is_crowd, last_crowd_only=True, backend=backend
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

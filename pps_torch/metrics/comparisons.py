"""Comparisons of the segments of a batch: `compare` of a metric makes them, `add` counts them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pps_torch.checks import check_device, check_integer, check_shape, checks_values
from pps_torch.ops.counting.pixel_runs import MAX_PIXELS
from pps_torch.ops.scoring.contract import SegmentMatches, SegmentPairs


class PartComparison(NamedTuple):
    """The part of a comparison that is about parts.

    Attributes:
        gt_parts, pred_parts: `(B, G, L)`, `(B, P, 3, L)` int32 pixels, as in
            [`part_overlaps`][pps_torch.ops.scoring.mean_part_iou.part_overlaps].
        has_parts: `(B, G)` bool, whether a match counts with the IoU of its parts.
        gt_keys, pred_keys: `(B, G)`, `(B, P)` int64, see
            [`PixelRules`][pps_torch.ops.scoring.contract.PixelRules].
        capacity: highest instance id, by which the keys are made.
        num_unknown: `(2,)` int64, pixels of the ground truth and of the prediction whose scene
            id is unknown; they were taken as void.
    """

    gt_parts: Tensor
    pred_parts: Tensor
    has_parts: Tensor
    gt_keys: Tensor
    pred_keys: Tensor
    capacity: int
    num_unknown: Tensor


class BoundaryComparison(NamedTuple):
    """The part of a comparison that is about boundaries.

    Attributes:
        matches: what became of each segment by the rule of Boundary PQ.
        scores: `(B, G)` float64, the IoU that a match counts with.
        dilation_ratio: width of the boundaries, a fraction of the image's diagonal.
    """

    matches: SegmentMatches
    scores: Tensor
    dilation_ratio: float


class SegmentComparison(NamedTuple):
    """The segments of a batch and what became of them, not yet counted. Index 0 is void.

    Attributes:
        pairs: the segments that share pixels: `gt`, `pred`, places in the flattened `(B, G)` and
            `(B, P)`, and `pixels`, `(N,)` int64 each.
        matches: what became of each segment.
        scores: `(B, G)` float64, the IoU that a match counts with.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64 class index, negative for none.
        is_crowd: `(B, G)` bool.
        faults: `(F,)` int64, what the rules do not cover, by the metric's `fault_names`.
        class_ids: what the class indices mean.
        rules: by which rules the segments were compared, as a text.
        parts: what only PartPQ counts, else None.
        boundaries: what only Boundary PQ counts, else None.
    """

    pairs: SegmentPairs
    matches: SegmentMatches
    scores: Tensor
    gt_class: Tensor
    pred_class: Tensor
    is_crowd: Tensor
    faults: Tensor
    class_ids: tuple[int, ...]
    rules: str
    parts: PartComparison | None
    boundaries: BoundaryComparison | None


def check_comparison(comparison: Any, class_ids: tuple[int, ...]) -> None:
    """Raise TypeError unless a metric's `compare` gave it, ValueError for other classes."""
    if not isinstance(comparison, SegmentComparison):
        found = type(comparison).__name__
        raise TypeError(f"comparison: expected the result of a metric's compare, found {found}")
    if tuple(comparison.class_ids) != class_ids:  # a list, where a DataLoader brought it
        raise ValueError(
            f"comparison: expected one of the classes {class_ids}, found {comparison.class_ids}"
        )


def check_run_lengths(lengths: Tensor, maps: Tensor) -> None:
    """Raise TypeError or ValueError unless `lengths` are pixels for each entry of `maps`."""
    check_integer("lengths", lengths)
    if lengths.dtype != torch.int64:
        raise TypeError(f"lengths: expected int64, found {lengths.dtype}")
    check_shape("lengths", lengths, tuple(maps.shape))
    check_device("lengths", lengths, maps)
    if not (checks_values(None, lengths) and lengths.numel()):
        return
    if (least := int(lengths.min())) < 0:
        raise ValueError(f"lengths: expected 0 or more pixels, found {least}")
    most = int(lengths.double().sum((-2, -1)).max())  # where int64 could wrap, float64 is large
    if most >= MAX_PIXELS:
        raise ValueError(f"lengths: expected fewer than 2**30 pixels an image, found {most}")

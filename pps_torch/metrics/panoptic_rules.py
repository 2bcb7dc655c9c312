"""Rules in which implementations of PQ differ, each set with a name.

All match a prediction and a ground-truth segment of the same class when their IoU is strictly
above one half. They part ways over predicted void, crowds, and stuff in several pieces. A rule
changes the pairs of segments that share pixels before the segments are matched; matching itself is
one operation for all.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pps_torch.ops.scoring.contract import (
    UNKNOWN,
    UNUSED,
    VOID,
    SegmentMatches,
    SegmentPairs,
)
from pps_torch.ops.scoring.match_segments import area_sums, match_segments
from pps_torch.ops.scoring.segment_pairs import list_pairs

#: What a crowd of the ground truth can be.
CROWDS = ("last_of_class", "all_of_class", "of_no_class", "void", "instance")


@dataclass(frozen=True)
class PanopticRules:
    """The rules in which implementations of PQ differ.

    Attributes:
        crowds: what crowds are. `"last_of_class"`: never matched nor missed, they stay in the
            union, and the last one of a class can excuse an unmatched prediction of that class;
            `"all_of_class"`: the same, but all crowds of the class together excuse;
            `"of_no_class"`: the same, but they excuse nothing, whatever category they have, which
            need not be one that is evaluated;
            `"void"`: they are void for every class; `"instance"`: segments like all others.
        forgives_predicted_void: pixels without prediction leave the union, and a ground-truth
            segment of which more than half has no prediction is not missed.
        merges_stuff: all segments of a stuff class in a map are one segment.
        allows_misfits: the list of the ground truth need not fit its map: a listed segment without
            pixels is missed, and pixels of an id that is not listed stay in the union and excuse
            nothing; else the former is no segment, and the latter an error.

    Raises:
        TypeError: for one of the others that is no bool.
        ValueError: for another kind of crowds.
    """

    crowds: str = "last_of_class"
    forgives_predicted_void: bool = False
    merges_stuff: bool = False
    allows_misfits: bool = False

    def __post_init__(self) -> None:
        if self.crowds not in CROWDS:
            raise ValueError(f"crowds: expected one of {CROWDS}, found {self.crowds!r}")
        for name in ("forgives_predicted_void", "merges_stuff", "allows_misfits"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name}: expected a bool, found {getattr(self, name)!r}")

    def __repr__(self) -> str:
        """The text by which saved states are compared; older ones know of no misfits."""
        shown = [f.name for f in fields(self) if f.name != "allows_misfits" or self.allows_misfits]
        return f"PanopticRules({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    @property
    def changes_pairs(self) -> bool:
        """Whether the rules leave pixels out, or make them void, before segments are matched."""
        return self.crowds == "void" or self.forgives_predicted_void

    @property
    def match_as_counted(self) -> bool:
        """Whether segments match in the pairs as they are, and crowds are crowds."""
        of_a_class = self.crowds in ("last_of_class", "all_of_class")
        return of_a_class and not (self.changes_pairs or self.merges_stuff or self.allows_misfits)


#: The rules of each implementation: panopticapi's `pq_compute` and the Cityscapes script, whose
#: matching is the same; the former on ground truth whose lists and PNGs do not agree, which the
#: others refuse; what panoptic_parts 2.0 does under PartPQ; `PanopticQuality` of
#: torchmetrics 1.9; that of deeplab2, whose data reader turns crowds into void; and the same on
#: label maps, where its crowds are the instances of the class that it ignores.
RULES = {
    "coco": PanopticRules(),
    "cityscapes": PanopticRules(),
    "panopticapi": PanopticRules(allows_misfits=True),
    "panoptic_parts": PanopticRules(crowds="all_of_class"),
    "torchmetrics": PanopticRules(
        crowds="instance", forgives_predicted_void=True, merges_stuff=True
    ),
    "deeplab2": PanopticRules(crowds="void"),
    "deeplab2_labels": PanopticRules(crowds="of_no_class"),
}


def find_rules(rules: str | PanopticRules) -> PanopticRules:
    """Find the rules of a name in `RULES`; ValueError for another name."""
    if isinstance(rules, PanopticRules):
        return rules
    if not isinstance(rules, str) or rules not in RULES:
        raise ValueError(f"rules: expected one of {tuple(RULES)} or PanopticRules, found {rules!r}")
    return RULES[rules]


def match_by_rules(
    pairs: SegmentPairs,
    gt_class: Tensor,
    pred_class: Tensor,
    is_crowd: Tensor,
    rules: PanopticRules,
    *,
    backend: str = "auto",
) -> SegmentMatches:
    """Match segments by the rules of an implementation.

    Arguments as for [`match_segments`][pps_torch.ops.scoring.match_segments.match_segments];
    `pairs` are as `merge_stuff` returns them where stuff merges, and `is_crowd` false where
    crowds are instances.
    """
    if rules.crowds == "of_no_class":
        gt_class = torch.where(is_crowd, VOID, gt_class)
    evaluated = evaluated_pairs(pairs, gt_class, pred_class, is_crowd, rules)
    last_crowd_only = rules.crowds == "last_of_class"
    matches = match_segments(
        evaluated, gt_class, pred_class, is_crowd, last_crowd_only=last_crowd_only, backend=backend
    )
    if rules.allows_misfits:
        is_missed = (gt_class >= 0) & (matches.gt_area == 0) & ~is_crowd
        matches = matches._replace(is_fn=matches.is_fn | is_missed)
    if not rules.changes_pairs:
        return matches
    is_fn, gt_area = matches.is_fn, area_sums(pairs.gt, pairs.pixels, gt_class)
    if rules.forgives_predicted_void:
        on_void = pairs.pixels * (pairs.pred % max(pred_class.shape[1], 1) == 0)
        is_fn = is_fn & (2 * area_sums(pairs.gt, on_void, gt_class) <= gt_area)
    return SegmentMatches(
        pred_of_gt=matches.pred_of_gt,
        gt_of_pred=matches.gt_of_pred,
        iou=matches.iou,
        is_fn=is_fn,
        is_fp=matches.is_fp,
        gt_area=gt_area,
        pred_area=matches.pred_area,
    )


def evaluated_pairs(
    pairs: SegmentPairs,
    gt_class: Tensor,
    pred_class: Tensor,
    is_crowd: Tensor,
    rules: PanopticRules,
) -> SegmentPairs:
    """The pairs in the pixels that the rules evaluate.

    Crowds that are void become segment 0; pixels without prediction leave the segments. Where
    nothing changes these are the `pairs` themselves. Classes tell only how many segments there are.
    """
    gt, pred, pixels = pairs
    num_gt, num_pred = gt_class.shape[1], pred_class.shape[1]
    if rules.forgives_predicted_void:
        pixels = pixels * (pred % max(num_pred, 1) > 0)
    if rules.crowds != "void":
        return SegmentPairs(gt, pred, pixels)
    number = torch.where(is_crowd.flatten()[gt], 0, gt % max(num_gt, 1))
    shape = len(gt_class), num_gt, num_pred
    return list_pairs(gt // max(num_gt, 1), number, pred % max(num_pred, 1), pixels, shape)


def allowed_classes(gt_class: Tensor, is_crowd: Tensor, rules: PanopticRules) -> Tensor:
    """The classes `(B, G)`, that of void where the rules allow a segment to have none.

    These are crowds that belong to no class, and what lies outside the list where that need not
    fit. What is left negative is a fault.
    """
    if rules.crowds == "of_no_class":
        gt_class = torch.where(is_crowd & (gt_class == UNKNOWN), VOID, gt_class)
    if rules.allows_misfits:
        gt_class = torch.where(gt_class == UNUSED, VOID, gt_class)
    return gt_class


def merge_stuff(
    pairs: SegmentPairs, gt_class: Tensor, pred_class: Tensor, is_stuff_class: Tensor
) -> SegmentPairs:
    """Merge the segments of each stuff class: the first one gets the pixels of all.

    Args:
        pairs: what segments share.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64, negative for none.
        is_stuff_class: `(C,)` bool.
    """
    shape = *gt_class.shape, pred_class.shape[1]
    first_gt, first_pred = (
        _first_of_stuff(classes, is_stuff_class) for classes in (gt_class, pred_class)
    )
    image = pairs.gt // max(shape[1], 1)
    gt, pred = first_gt.flatten()[pairs.gt], first_pred.flatten()[pairs.pred]
    return list_pairs(image, gt, pred, pairs.pixels, shape)


def _first_of_stuff(classes: Tensor, is_stuff_class: Tensor) -> Tensor:
    """Index `(B, S)` int64 of the first segment of the class for stuff, else of the segment."""
    num_images, num_segments = classes.shape
    own = torch.arange(num_segments, device=classes.device).expand_as(classes)
    num_classes = len(is_stuff_class)
    if num_classes == 0:
        return own
    is_stuff = (classes >= 0) & is_stuff_class[classes.clamp(min=0)]
    column = torch.where(is_stuff, classes, num_classes)
    first = own.new_full((num_images, num_classes + 1), num_segments)
    first = first.scatter_reduce(1, column, own, "amin")
    return torch.where(is_stuff, first.gather(1, column), own)

"""Rules in which implementations of PQ differ, each set with a name.

All match a prediction and a ground-truth segment of the same class when their IoU is strictly
above one half. They part ways over predicted void, crowds, and stuff in several pieces. A rule
changes the table of joint counts before the segments are matched; matching itself is one operation
for all, so every rule runs in Triton where the default does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pps_torch.ops.scoring.contract import SegmentMatches
from pps_torch.ops.scoring.match_segments import match_segments

#: What a crowd of the ground truth can be.
CROWDS = ("last_of_class", "all_of_class", "void", "instance")


@dataclass(frozen=True)
class PanopticRules:
    """The rules in which implementations of PQ differ.

    Attributes:
        crowds: what crowds are. `"last_of_class"`: never matched nor missed, they stay in the
            union, and the last one of a class can excuse an unmatched prediction of that class;
            `"all_of_class"`: the same, but all crowds of the class together excuse;
            `"void"`: they are void for every class; `"instance"`: segments like all others.
        forgives_predicted_void: pixels without prediction leave the union, and a ground-truth
            segment of which more than half has no prediction is not missed.
        merges_stuff: all segments of a stuff class in a map are one segment.

    Raises:
        ValueError: for another kind of crowds.
    """

    crowds: str = "last_of_class"
    forgives_predicted_void: bool = False
    merges_stuff: bool = False

    def __post_init__(self) -> None:
        if self.crowds not in CROWDS:
            raise ValueError(f"crowds: expected one of {CROWDS}, got {self.crowds!r}")

    @property
    def changes_table(self) -> bool:
        """Whether the rules leave pixels out, or make them void, before segments are matched."""
        return self.crowds == "void" or self.forgives_predicted_void

    @property
    def match_as_counted(self) -> bool:
        """Whether segments match in the table of joint counts as it is, and crowds are crowds."""
        return not (self.changes_table or self.merges_stuff or self.crowds == "instance")


#: The rules of each implementation: panopticapi's `pq_compute` and the Cityscapes script, whose
#: matching is the same; what panoptic_parts 2.0 does under PartPQ; `PanopticQuality` of
#: torchmetrics 1.9; and that of deeplab2, whose data reader turns crowds into void.
RULES = {
    "coco": PanopticRules(),
    "cityscapes": PanopticRules(),
    "panoptic_parts": PanopticRules(crowds="all_of_class"),
    "torchmetrics": PanopticRules(
        crowds="instance", forgives_predicted_void=True, merges_stuff=True
    ),
    "deeplab2": PanopticRules(crowds="void"),
}


def find_rules(rules: str | PanopticRules) -> PanopticRules:
    """Find the rules of a name in `RULES`; ValueError for another name."""
    if isinstance(rules, PanopticRules):
        return rules
    if not isinstance(rules, str) or rules not in RULES:
        raise ValueError(f"rules: expected one of {tuple(RULES)} or PanopticRules, got {rules!r}")
    return RULES[rules]


def match_by_rules(
    joint: Tensor,
    gt_class: Tensor,
    pred_class: Tensor,
    is_crowd: Tensor,
    rules: PanopticRules,
    *,
    backend: str = "auto",
) -> SegmentMatches:
    """Match segments by the rules of an implementation.

    Arguments as for [`match_segments`][pps_torch.ops.scoring.match_segments.match_segments];
    `joint` is as `merge_stuff` returns it where stuff merges, and `is_crowd` false where
    crowds are instances.
    """
    table = evaluated_table(joint, is_crowd, rules)
    last_crowd_only = rules.crowds == "last_of_class"
    matches = match_segments(
        table, gt_class, pred_class, is_crowd, last_crowd_only=last_crowd_only, backend=backend
    )
    if not rules.changes_table:
        return matches
    is_fn, gt_area = matches.is_fn, joint.sum(2)
    if rules.forgives_predicted_void:
        is_fn = is_fn & (2 * joint[:, :, 0] <= gt_area)
    return SegmentMatches(
        pred_of_gt=matches.pred_of_gt,
        gt_of_pred=matches.gt_of_pred,
        iou=matches.iou,
        is_fn=is_fn,
        is_fp=matches.is_fp,
        gt_area=gt_area,
        pred_area=matches.pred_area,
    )


def evaluated_table(joint: Tensor, is_crowd: Tensor, rules: PanopticRules) -> Tensor:
    """Joint counts `(B, G, P)` of the pixels that the rules evaluate.

    Crowds that are void move to row 0; pixels without prediction leave the rows of segments. Where
    nothing changes this is `joint` itself.
    """
    if rules.crowds == "void":
        is_void = is_crowd[:, :, None].to(joint.dtype)
        on_crowds = (joint * is_void).sum(1, keepdim=True, dtype=joint.dtype)
        joint = joint * (1 - is_void)
        joint = torch.cat([joint[:, :1] + on_crowds, joint[:, 1:]], 1)
    if rules.forgives_predicted_void:
        joint = torch.cat([torch.zeros_like(joint[:, :, :1]), joint[:, :, 1:]], 2)
    return joint


def merge_stuff(
    joint: Tensor, gt_class: Tensor, pred_class: Tensor, is_stuff_class: Tensor
) -> Tensor:
    """Merge the segments of each stuff class: the first one gets the pixels of all.

    Args:
        joint: `(B, G, P)` int32.
        gt_class, pred_class: `(B, G)`, `(B, P)` int64, negative for none.
        is_stuff_class: `(C,)` bool.
    """
    rows = _first_of_stuff(gt_class, is_stuff_class)[:, :, None].expand_as(joint)
    joint = torch.zeros_like(joint).scatter_add_(1, rows, joint)
    columns = _first_of_stuff(pred_class, is_stuff_class)[:, None, :].expand_as(joint)
    return torch.zeros_like(joint).scatter_add_(2, columns, joint)


def _first_of_stuff(classes: Tensor, is_stuff_class: Tensor) -> Tensor:
    """Index `(B, S)` int64 of the first segment of the class for stuff, else of the segment."""
    own = torch.arange(classes.shape[1], device=classes.device).expand_as(classes)
    if len(is_stuff_class) == 0:
        return own
    is_stuff = (classes >= 0) & is_stuff_class[classes.clamp(min=0)]
    first = (classes[:, :, None] == classes[:, None, :]).int().argmax(2)
    return torch.where(is_stuff, first, own)

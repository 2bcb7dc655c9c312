"""Detectron2's contiguous class numbers of a spec, and the way back to its evaluation sids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pps_torch.formats import PanopticSegmentation
from pps_torch.merging import PPSMerger
from pps_torch.specs import EvalSpec

#: The semantic label of Panoptic FPN that means "some thing"; stuff starts at 1.
THINGS_LABEL = 0


def thing_contiguous_ids(spec: EvalSpec) -> dict[int, int]:
    """Evaluation sid -> class index of the instances, in the order of `spec.things`.

    Example:
        >>> from pps_torch import EvalSpec
        >>> thing_contiguous_ids(EvalSpec.load("cpp_default"))[26]
        2
    """
    return {sid: index for index, sid in enumerate(spec.things)}


def stuff_contiguous_ids(spec: EvalSpec) -> dict[int, int]:
    """Evaluation sid -> semantic label, from 1, in the order of `spec.stuff`.

    Label 0 means "things", as Detectron2's Panoptic FPN has it.

    Example:
        >>> from pps_torch import EvalSpec
        >>> stuff_contiguous_ids(EvalSpec.load("cpp_default"))[7]
        1
    """
    return {sid: index for index, sid in enumerate(spec.stuff, start=THINGS_LABEL + 1)}


def semantic_labels(spec: EvalSpec) -> tuple[int, ...]:
    """Semantic label of each evaluation class, in class order: 0 for every thing.

    For models whose semantic channels are all the classes of `spec.eval_sids`.

    Example:
        >>> from pps_torch import EvalSpec
        >>> semantic_labels(EvalSpec.load("cpp_default"))[-9:]
        (11, 0, 0, 0, 0, 0, 0, 0, 0)
    """
    labels = stuff_contiguous_ids(spec)
    return tuple(labels.get(sid, THINGS_LABEL) for sid in spec.eval_sids)


def check_num_things(num_classes: int, spec: EvalSpec) -> None:
    """Raises ValueError unless a detector has as many classes as the spec has things."""
    if num_classes != len(spec.things):
        raise ValueError(
            f"MODEL.ROI_HEADS.NUM_CLASSES: expected the {len(spec.things)} things of "
            f"{spec.name}, got {num_classes}"
        )


def check_num_labels(num_classes: int, spec: EvalSpec) -> None:
    """Raises ValueError unless a semantic head has one channel for things, and each stuff class."""
    expected = 1 + len(spec.stuff)
    if num_classes != expected:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES: expected {expected} for {spec.name}, things and "
            f"{len(spec.stuff)} stuff classes, got {num_classes}"
        )


def check_ignore_value(ignore_value: int, spec: EvalSpec) -> None:
    """Raises ValueError unless a semantic head ignores what the training targets have as void."""
    if ignore_value != spec.ignore_label:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE: expected {spec.ignore_label}, the ignore_label of "
            f"{spec.name}, got {ignore_value}"
        )


class ContiguousPPSMerger(nn.Module):
    """[`merge_pps`][pps_torch.merge_pps] for segments with Detectron2's contiguous category ids.

    Args:
        spec: the [`EvalSpec`][pps_torch.EvalSpec] whose evaluation sids the PPS map carries.

    Example:
        >>> import torch
        >>> from pps_torch import EvalSpec
        >>> merge = ContiguousPPSMerger(EvalSpec.load("cpp_default"))
        >>> car = {"id": 1, "category_id": 2, "isthing": True}
        >>> panoptic = PanopticSegmentation.from_segments(torch.tensor([[1]]), [car])
        >>> merge(panoptic, torch.tensor([[10]])).flatten().tolist()    # 10 is car-wheel
        [26, 1, 2]
    """

    thing_sids: Tensor
    stuff_sids: Tensor

    def __init__(self, spec: EvalSpec) -> None:
        super().__init__()
        self.merge_pps = PPSMerger(spec)
        stuff_sids = (spec.ignore_label, *spec.stuff)
        self.register_buffer("thing_sids", torch.tensor(spec.things), persistent=False)
        self.register_buffer("stuff_sids", torch.tensor(stuff_sids), persistent=False)

    def forward(self, panoptic: PanopticSegmentation, part_seg: Tensor) -> Tensor:
        """Merges one image or a batch.

        Args:
            panoptic: segments with contiguous `category_ids`: class indices of things, semantic
                labels of stuff.
            part_seg: `(*B, H, W)` integers: flat part ids, 0 where there is no part.

        Returns:
            `(*B, 3, H, W)` int32: evaluation sid, instance, part.
        """
        return self.merge_pps(self.with_sids(panoptic), part_seg)

    def with_sids(self, panoptic: PanopticSegmentation) -> PanopticSegmentation:
        """The same segments with evaluation sids as their category ids."""
        ids, is_thing = panoptic.category_ids, panoptic.is_thing
        things = self.thing_sids[torch.where(is_thing, ids, 0)]
        stuff = self.stuff_sids[torch.where(is_thing | (ids < 0), THINGS_LABEL, ids)]
        sids = torch.where(is_thing, things, stuff)
        return panoptic._replace(category_ids=torch.where(ids < 0, ids, sids))

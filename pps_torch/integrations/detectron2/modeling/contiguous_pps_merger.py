"""The part merge for segments that carry Detectron2's contiguous class numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.integrations.detectron2.class_ids import THINGS_LABEL
from pps_torch.merging import PPSMerger
from pps_torch.specs import EvalSpec


class ContiguousPPSMerger(TensorHolder):
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
        self._hold_tables(
            thing_sids=torch.tensor(spec.things, device="cpu"),
            stuff_sids=torch.tensor(stuff_sids, device="cpu"),
        )

    def forward(self, panoptic: PanopticSegmentation, part_seg: Tensor) -> Tensor:
        """Merge one image or a batch.

        Args:
            panoptic: segments with contiguous `category_ids`: class indices of things, semantic
                labels of stuff.
            part_seg: `(*B, H, W)` integers: flat part ids, 0 where there is no part.

        Returns:
            `(*B, 3, H, W)` int32: evaluation sid, instance, part.
        """
        return self.merge_pps(self.with_sids(panoptic), part_seg)

    def with_sids(self, panoptic: PanopticSegmentation) -> PanopticSegmentation:
        """Replace the contiguous category ids of all segments by evaluation sids."""
        ids, is_thing = panoptic.category_ids, panoptic.is_thing
        things = self.thing_sids[torch.where(is_thing, ids, 0)]
        stuff = self.stuff_sids[torch.where(is_thing | (ids < 0), THINGS_LABEL, ids)]
        sids = torch.where(is_thing, things, stuff)
        return panoptic._replace(category_ids=torch.where(ids < 0, ids, sids))

"""The list of segments has the keys of Detectron2's."""

from __future__ import annotations

import pytest
import torch

from pps_torch import PanopticSegmentation, merge_panoptic
from pps_torch.integrations.detectron2.modeling.segments_info import detectron2_segments_info


def test_segments_have_the_keys_of_detectron2():
    masks = torch.zeros(2, 1, 4, dtype=torch.bool)
    masks[0, 0, 0] = masks[1, 0, 1] = True
    merged = merge_panoptic(
        torch.tensor([[1, 1, 1, 3]]), masks, torch.tensor([0.5, 0.75]), torch.tensor([4, 2]),
        stuff_ids=[1, 3], stuff_area_limit=1,
    )  # fmt: skip
    assert [list(info.items()) for info in detectron2_segments_info(merged)] == [
        [("id", 1), ("isthing", True), ("score", 0.75), ("category_id", 2), ("instance_id", 1)],
        [("id", 2), ("isthing", True), ("score", 0.5), ("category_id", 4), ("instance_id", 0)],
        [("id", 3), ("isthing", False), ("category_id", 1), ("area", 1)],
        [("id", 4), ("isthing", False), ("category_id", 3), ("area", 1)],
    ]
    batch = PanopticSegmentation(*(field[None] for field in merged))
    with pytest.raises(
        ValueError, match=r"panoptic: expected one image \(H, W\), found \(1, 1, 4\)"
    ):
        detectron2_segments_info(batch)

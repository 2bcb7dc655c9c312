"""Segments with contiguous class numbers merge as those with evaluation sids."""

from __future__ import annotations

import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation, merge_pps
from pps_torch.integrations.detectron2.class_ids import stuff_contiguous_ids, thing_contiguous_ids
from pps_torch.integrations.detectron2.modeling.contiguous_pps_merger import ContiguousPPSMerger


@pytest.mark.parametrize("name", ["cpp_default", "cpp_grouped", "ppp_default", "ppp_107"])
def test_contiguous_merge_equals_the_merge_of_sids(name):
    spec = EvalSpec.load(name)
    generator = torch.Generator().manual_seed(3)
    ids = {**thing_contiguous_ids(spec), **stuff_contiguous_ids(spec)}
    panoptic_seg = torch.arange(len(ids)).repeat(8, 1)  # the first segment is void
    infos = [
        {"id": row, "category_id": ids[sid], "isthing": sid in spec.things, "sid": sid}
        for row, sid in enumerate(ids)
        if row > 0
    ]
    part_seg = torch.randint(spec.highest_flat_pid + 1, panoptic_seg.shape, generator=generator)
    capacity = len(infos) + 3
    contiguous = PanopticSegmentation.from_segments(panoptic_seg, infos, capacity=capacity)
    with_sids = [{**info, "category_id": info["sid"]} for info in infos]
    expected = PanopticSegmentation.from_segments(panoptic_seg, with_sids, capacity=capacity)
    merger = ContiguousPPSMerger(spec)
    assert torch.equal(merger(contiguous, part_seg), merge_pps(expected, part_seg, spec))
    assert torch.equal(merger.with_sids(contiguous).category_ids, expected.category_ids)
    assert not merger.state_dict()

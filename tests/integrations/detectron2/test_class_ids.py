"""Detectron2's contiguous class numbers of a spec, and its lists of segments."""

from __future__ import annotations

import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation, merge_panoptic, merge_pps
from pps_torch.integrations.detectron2.class_ids import (
    ContiguousPPSMerger,
    check_ignore_value,
    check_num_labels,
    check_num_things,
    semantic_labels,
    stuff_contiguous_ids,
    thing_contiguous_ids,
)
from pps_torch.integrations.detectron2.modeling.segments_info import detectron2_segments_info

SPECS = ("cpp_default", "cpp_grouped", "ppp_default", "ppp_107")


@pytest.mark.parametrize("name", SPECS)
def test_every_class_has_one_number(name):
    spec = EvalSpec.load(name)
    things, stuff = thing_contiguous_ids(spec), stuff_contiguous_ids(spec)
    assert sorted(things.values()) == list(range(len(spec.things)))
    assert sorted(stuff.values()) == list(range(1, len(spec.stuff) + 1))
    assert {*things, *stuff} == set(spec.eval_sids)
    labels = dict(zip(spec.eval_sids, semantic_labels(spec)))
    assert labels == {**dict.fromkeys(things, 0), **stuff}
    check_num_things(len(things), spec)
    check_num_labels(len(stuff) + 1, spec)
    check_ignore_value(255, spec)


def test_wrong_numbers_are_refused():
    spec = EvalSpec.load("cpp_default")
    with pytest.raises(ValueError, match="ROI_HEADS.NUM_CLASSES: expected the 8 things .*got 80"):
        check_num_things(80, spec)
    with pytest.raises(ValueError, match="SEM_SEG_HEAD.NUM_CLASSES: expected 12 .*got 19"):
        check_num_labels(19, spec)
    with pytest.raises(ValueError, match="HEAD.IGNORE_VALUE: expected 255, the .* got 254"):
        check_ignore_value(254, spec)


@pytest.mark.parametrize("name", SPECS)
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
    part_seg = torch.randint(spec.num_parts_flat + 1, panoptic_seg.shape, generator=generator)
    capacity = len(infos) + 3
    contiguous = PanopticSegmentation.from_segments(panoptic_seg, infos, capacity=capacity)
    with_sids = [{**info, "category_id": info["sid"]} for info in infos]
    expected = PanopticSegmentation.from_segments(panoptic_seg, with_sids, capacity=capacity)
    merger = ContiguousPPSMerger(spec)
    assert torch.equal(merger(contiguous, part_seg), merge_pps(expected, part_seg, spec))
    assert torch.equal(merger.with_sids(contiguous).category_ids, expected.category_ids)
    assert not merger.state_dict()


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
    with pytest.raises(ValueError, match=r"panoptic: expected one image \(H, W\), got \(1, 1, 4\)"):
        detectron2_segments_info(batch)

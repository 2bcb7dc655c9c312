"""A model that merges queries as Mask2Former does is recognised by what it has and does."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("detectron2", reason="needs Detectron2")

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2 import use_fused_merge
from pps_torch.integrations.detectron2.modeling.fused_queries import _scene
from tests.integrations.detectron2.project_models import OwnRule, Queries, WithParts

CPU = torch.device("cpu")


def test_maps_and_lists_stay_the_same():
    model = use_fused_merge(Queries())
    num_segments = 0
    for seed in range(10, 30):
        scene = _scene(9, CPU, seed)
        expected_map, expected_infos = Queries().panoptic_inference(*scene)
        found_map, found_infos = model.panoptic_inference(*scene)
        assert found_map.dtype == torch.int32 and torch.equal(found_map, expected_map)
        assert [list(i.items()) for i in found_infos] == [list(i.items()) for i in expected_infos]
        num_segments += len(found_infos)
    assert num_segments > 40


def test_tapps_gets_the_query_of_each_thing():
    model = use_fused_merge(WithParts([0, 5]))
    things = 0
    for seed in range(10, 20):
        scene = _scene(9, CPU, seed)
        expected, found = WithParts([]).panoptic_inference(*scene), model.panoptic_inference(*scene)
        for theirs, ours, info in zip(expected[2], found[2], found[1]):
            assert theirs["panoptic_id"] == ours["panoptic_id"]
            assert theirs["category_id"] == ours["category_id"]
            if info["isthing"]:
                things += 1
                assert torch.equal(theirs["query_id"], ours["query_id"])
    assert things > 10


def test_a_model_with_a_rule_of_its_own_is_refused_and_left_as_it_was():
    model = OwnRule()
    with pytest.raises(TypeError, match=r"OwnRule has a panoptic_inference of its own; merge_pan"):
        use_fused_merge(model)
    assert not hasattr(model, "fused_merge") and "panoptic_inference" not in vars(model)
    with pytest.raises(TypeError, match=r"parts of the stuff classes \[4\]; merge_panoptic_quer"):
        use_fused_merge(WithParts([0, 4]))
    with pytest.raises(ValueError, match="spec, paste_masks: expected a PanopticFPN .* a Queries"):
        use_fused_merge(Queries(), spec=EvalSpec.load("cpp_default"))

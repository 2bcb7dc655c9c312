"""A model that merges queries as Mask2Former does is recognised by what it has and does."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tests.oracles.merge_queries import merge_panoptic_queries as oracle

pytest.importorskip("detectron2", reason="needs Detectron2")

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2 import use_fused_merge
from pps_torch.integrations.detectron2.modeling.fused_queries import _scene

CPU = torch.device("cpu")
KEYS = ("id", "isthing", "category_id")


class Queries(nn.Module):
    """The attributes of Mask2Former's model, and its rule in slow NumPy."""

    device = CPU
    object_mask_threshold, overlap_threshold = 0.8, 0.7

    def __init__(self) -> None:
        super().__init__()
        self.sem_seg_head = SimpleNamespace(num_classes=9)
        things = {10: 0, 20: 3, 30: 5}
        self.metadata = SimpleNamespace(thing_dataset_id_to_contiguous_id=things)

    def panoptic_inference(self, mask_cls, mask_pred):
        ids, infos = self.merged(mask_cls, mask_pred)
        return torch.from_numpy(ids), [{key: info[key] for key in KEYS} for info in infos]

    def merged(self, mask_cls, mask_pred):
        things = set(self.metadata.thing_dataset_id_to_contiguous_id.values())
        options = {"object_mask_threshold": self.object_mask_threshold}
        options.update(thing_ids=things, min_kept_fraction=self.overlap_threshold)
        return oracle(mask_cls.numpy(), mask_pred.numpy(), **options)


class WithParts(Queries):
    """TAPPS' model, which also lists the query of each segment."""

    def __init__(self, sids_with_parts) -> None:
        super().__init__()
        self.metadata.train_sids_with_parts = sids_with_parts

    def panoptic_inference(self, mask_cls, mask_pred):
        ids, infos = self.merged(mask_cls, mask_pred)
        queries = [
            {
                "panoptic_id": info["id"],
                "query_id": torch.tensor(info["source"]),
                "category_id": info["category_id"],
            }
            for info in infos
        ]
        return torch.from_numpy(ids), [{k: info[k] for k in KEYS} for info in infos], queries

    def pps_inference(self):
        """Its presence tells."""


class OwnRule(Queries):
    """As MaskDINO: class probabilities are sigmoids."""

    def merged(self, mask_cls, mask_pred):
        return super().merged(mask_cls.sigmoid() * 20, mask_pred)


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

"""Metadata follows from the spec."""

from __future__ import annotations

import pytest

from pps_torch.integrations.detectron2.data.metadata import pps_metadata
from tests.factories import specs


@pytest.mark.parametrize("name", specs())
def test_ids_point_at_their_names_and_colors(name):
    spec = specs()[name]
    metadata = pps_metadata(spec, name)
    for kind, sids in (("thing", spec.things), ("stuff", spec.stuff)):
        ids = metadata[f"{kind}_dataset_id_to_contiguous_id"]
        assert sorted(ids) == sorted(sids)
        for sid, index in ids.items():
            assert metadata[f"{kind}_classes"][index] == spec.scene_labels[sid]
            assert metadata[f"{kind}_colors"][index] == spec.colors[sid]
    assert metadata["stuff_classes"][0] == "things"
    assert len(metadata["stuff_colors"]) == len(metadata["stuff_classes"]) == 1 + len(spec.stuff)
    assert len(metadata["thing_colors"]) == len(metadata["thing_classes"]) == len(spec.things)
    assert len(metadata["part_classes"]) == 1 + spec.highest_flat_pid
    for flat_id, label in spec.part_labels.items():
        assert metadata["part_classes"][flat_id] == label
    assert metadata["evaluator_type"] == "pps" and metadata["eval_spec"] == name

"""Specs from a list of classes, and specs written to files: they say the same when read again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import yaml

from pps_torch import EvalSpec, PartPanopticQuality
from pps_torch.specs import DatasetSpec, SpecError

CLASSES = [
    {"name": "soil", "isthing": 0, "id": 11},
    {"name": "plant", "isthing": 1, "id": 15, "parts": ["leaf", "stem"], "color": (0, 200, 9)},
    {"name": "自転車: no. 1", "isthing": True, "id": 12},
]


def test_ids_names_parts_and_colors():
    spec = EvalSpec.from_classes(CLASSES, name="field")
    assert (spec.name, spec.dataset.name) == ("field", "field")
    assert spec.eval_sids == (11, 15, 12) and spec.dataset.sids == (11, 12, 15)
    assert spec.things == (15, 12) and spec.stuff == (11,)
    assert spec.parts == (15,) and spec.part_pids == {15: (1, 2)}
    assert spec.part_labels == {1: "plant-leaf", 2: "plant-stem"}
    assert spec.colors[15] == (0, 200, 9) and len(set(spec.colors.values())) == 3
    assert [c["isthing"] for c in spec.categories] == [0, 1, 1]
    assert repr(spec.dataset) == "DatasetSpec('field', 3 scene classes)"


def test_ids_are_places_by_default():
    spec = EvalSpec.from_classes([{"name": "a", "isthing": 0}, {"name": "b", "isthing": 1}])
    assert spec.eval_sids == (1, 2) and spec.parts == () and spec.name == "own"


def test_part_pq_of_own_classes_by_hand():
    """A plant of which one pixel of leaf is taken for stem: IoU 1/2 and 2/3, background 1."""
    spec = EvalSpec.from_classes(CLASSES)
    plant = 15_001_00
    uids = torch.tensor([[11, 11, plant + 1, plant + 1, plant + 2, plant + 2]])
    pps = torch.tensor([[[11, 11, 15, 15, 15, 15]], [[1, 1, 1, 1, 1, 1]], [[1, 1, 1, 2, 2, 2]]])
    result = PartPanopticQuality(spec).update(pps, uids).compute()
    assert result.classes[11].pq == 1 and result.classes[15].pq == pytest.approx(13 / 18)
    assert result.value == pytest.approx((1 + 13 / 18) / 2) and result.unknown_gt_pixels == 0


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], r"classes: expected a list of at least one class, found \[\]"),
        ("soil", r"classes\[0\]: expected a dict, found 's'"),
        ([3], r"classes\[0\]: expected a dict, found 3"),
        ([{"isthing": 0}], r"classes\[0\]: name: expected this key"),
        ([{"name": "a"}], r"classes\[0\]: isthing: expected this key"),
        ([{"name": "a", "isthing": 2}], r"classes\[0\]: isthing: expected 0 or 1, found 2"),
        ([{"name": "a", "isthing": 0, "is_thing": 1}], r"classes\[0\]: expected the keys .*'is_th"),
        ([{"name": "a", "isthing": 0}] * 2, "classes: name: expected each name once, found 'a'"),
        ([{"name": "a", "isthing": 0, "id": 0}], r"classes\[0\]: id: expected an integer from 1"),
        ([CLASSES[0], {**CLASSES[1], "id": 11}], r"classes\[1\]: id: .* once, found 11 again"),
        ([CLASSES[0], {"name": "a", "isthing": 0}], r"classes\[1\]: id: .* found none"),
        ([{**CLASSES[1], "parts": ["leaf"]}], r"classes\[0\]: parts: expected none, or 2 to 99"),
        ([{**CLASSES[1], "parts": ["x", "x"]}], r"classes\[0\]: parts: .*found \['x', 'x'\]"),
        ([{**CLASSES[1], "parts": "leaf"}], r"classes\[0\]: parts: expected a list"),
        ([{**CLASSES[1], "color": [1, 2]}], r"classes\[0\]: color: expected three numbers"),
        ([{**CLASSES[1], "color": [1, 2, 999]}], r"classes\[0\]: color: .*found 999"),
        ([{**CLASSES[0], "id": 255}], "ignore_label: expected a value that is no evaluated sid"),
    ],
)
def test_bad_classes_are_named(classes, message):
    with pytest.raises(SpecError, match=message):
        EvalSpec.from_classes(classes)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    spec = EvalSpec.from_classes(CLASSES, name="field")
    paths = spec.save(tmp_path / "new" / "field_evalspec.yaml")
    assert [p.name for p in paths] == ["field_evalspec.yaml", "field_datasetspec.yaml"]
    assert EvalSpec.load(paths[0]) == spec
    assert DatasetSpec.load(paths[1]) == spec.dataset
    for path in paths:
        assert path.read_text().startswith("# What") and yaml.safe_load(path.read_text())
    with pytest.raises(SpecError, match="field_evalspec.yaml: expected no such file, found one"):
        spec.save(paths[0])
    spec.save(paths[0], overwrite=True)
    with pytest.raises(SpecError, match=r"expected a name that ends in .yaml, found 'field.txt'"):
        spec.save(tmp_path / "field.txt")


@pytest.mark.parametrize(
    "name",
    ["a\u2028b: c", "a\u2029b", "a\x85b", "a\x7f", "\x80", "\ufeffa", "a\nb", "\U0001f697", "null"],
)
def test_names_that_yaml_takes_for_something_else_survive(tmp_path, name):
    classes = [{"name": name, "isthing": 1, "parts": [name, "wheel"]}, {"name": "b", "isthing": 0}]
    spec = EvalSpec.from_classes(classes, name=name)
    path, dataset_path = spec.save(tmp_path / "own_evalspec.yaml")
    assert EvalSpec.load(path).scene_labels == {1: name, 2: "b"}
    assert DatasetSpec.load(dataset_path) == spec.dataset


@pytest.mark.parametrize("name", ["cpp_default", "cpp_grouped", "ppp_default", "ppp_107"])
def test_bundled_specs_survive(tmp_path, name):
    spec = EvalSpec.load(name)
    path, _ = spec.save(tmp_path / f"{name}_evalspec.yaml")
    assert EvalSpec.load(path) == spec


@pytest.mark.parametrize("zero", [None, "IGNORED", "20_02"])
def test_a_spec_that_maps_pixels_without_part_survives(tmp_path, toy_fields, toy_dataset, zero):
    if zero:
        toy_fields["dataset_sid_pid2eval_sid_pid"]["4_00"] = zero
    spec = EvalSpec.from_dict(toy_fields, toy_dataset, name="toy")
    path, _ = spec.save(tmp_path / "toy_evalspec.yaml")
    assert EvalSpec.load(path) == spec
    assert spec != replace(spec, version="2")


@pytest.mark.parametrize(
    ("sids", "message"),
    [
        ({"road": 3}, "expected the names of scene_class2part_classes, found a difference: car,"),
        ({n: 3 for n in ("road", "sky", "car", "van", "dog")}, r"\[sky\]: expected each sid once"),
    ],
)
def test_bad_sids_of_a_file(toy_dataset_fields, sids, message):
    with pytest.raises(SpecError, match=f"scene_class2sid.*{message}"):
        DatasetSpec.from_dict({**toy_dataset_fields, "scene_class2sid": sids})


def test_an_unused_sid_is_no_class(toy_dataset_fields, toy_fields):
    sids = {"road": 1, "sky": 2, "car": 3, "van": 4, "dog": 9}
    dataset = DatasetSpec.from_dict({**toy_dataset_fields, "scene_class2sid": sids})
    with pytest.raises(SpecError, match=r"sid\[5\]: expected a sid among 1, 2, 3, 4, 9 of Toy"):
        EvalSpec.from_dict(toy_fields, dataset)

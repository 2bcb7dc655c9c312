"""Reading a datasetspec."""

from __future__ import annotations

import pytest

from pps_torch.specs import DatasetSpec, SpecError


def test_ids_are_positions(toy_dataset):
    assert toy_dataset.name == "Toy"
    assert toy_dataset.scene_classes == ("UNLABELED", "road", "sky", "car", "van", "dog")
    assert toy_dataset.part_classes[1] == ("UNLABELED",)
    assert toy_dataset.part_classes[5] == ("UNLABELED", "head", "torso")
    assert toy_dataset.things == (5, 3, 4)
    assert toy_dataset.colors == {0: (0, 0, 0), **{sid: (sid, sid, sid) for sid in range(1, 6)}}


@pytest.mark.parametrize(
    ("sid", "file_pid", "pid"), [(3, 1, 1), (3, 2, 2), (3, 3, 3), (3, 5, 2), (4, 5, 5), (3, -1, -1)]
)
def test_fold_pid(toy_dataset, sid, file_pid, pid):
    assert toy_dataset.fold_pid(sid, file_pid) == pid


def test_countable_pids_are_optional(toy_dataset_fields):
    del toy_dataset_fields["countable_pids_groupings"]
    assert DatasetSpec.from_dict(toy_dataset_fields).countable_pids == {}


def test_unlabeled_may_be_spelled_out(toy_dataset_fields, toy_dataset):
    classes = {"UNLABELED": [], **toy_dataset_fields["scene_class2part_classes"]}
    classes["dog"] = ["UNLABELED", "head", "torso"]
    spec = DatasetSpec.from_dict({**toy_dataset_fields, "scene_class2part_classes": classes})
    assert spec.scene_classes == toy_dataset.scene_classes
    assert spec.part_classes == toy_dataset.part_classes


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("name", {}, ": expected a name, found {}"),
        (
            "scene_class2part_classes",
            [],
            r": expected a mapping, found \[]",
        ),
        ("scene_class2part_classes", {"car": None}, r"\[car]: expected a list, found None"),
        ("scene_class2part_classes", {"car": ["a", "a"]}, r"\[car]: .* once .* found 'a' again"),
        (
            "scene_class2part_classes",
            {"car": [], "UNLABELED": []},
            "UNLABELED first, found 'UNLABELED' again",
        ),
        ("scene_classes_with_instances", "dog", "expected a list, found 'dog'"),
        ("scene_classes_with_instances", ["cat"], "expected names of scene_class2.*, found 'cat'"),
        ("scene_class2color", {"road": [1, 1, 1]}, "a colour for each scene class, 'sky' too"),
        ("countable_pids_groupings", {"cat": {}}, r"\[cat]: expected names .*, found 'cat'"),
        ("countable_pids_groupings", {"car": [1]}, r"\[car]: expected a mapping, found \[1]"),
        ("countable_pids_groupings", {"car": {"UNLABELED": [1]}}, "parts of car .*'UNLABELED'"),
        (
            "countable_pids_groupings",
            {"car": {"wheel": [0]}},
            r"\[wheel]: .* from 1 to 99, found 0",
        ),
        (
            "countable_pids_groupings",
            {"car": {"wheel": [2], "body": [2]}},
            r"\[car]\[body]: expected each pid once, found 2 again",
        ),
    ],
)
def test_wrong_value(toy_dataset_fields, key, value, message):
    with pytest.raises(SpecError, match=f"^toy.yaml: {key}.*{message}"):
        DatasetSpec.from_dict({**toy_dataset_fields, key: value}, source="toy.yaml")


@pytest.mark.parametrize("color", [[1, 2], [1, 2, 256], [1, 2, "x"], "red"])
def test_wrong_color(toy_dataset_fields, color):
    toy_dataset_fields["scene_class2color"]["car"] = color
    with pytest.raises(SpecError, match=r"scene_class2color\[car]: expected .*, found"):
        DatasetSpec.from_dict(toy_dataset_fields)


@pytest.mark.parametrize(
    "key",
    ["name", "scene_class2part_classes", "scene_classes_with_instances", "scene_class2color"],
)
def test_missing_key(toy_dataset_fields, key):
    del toy_dataset_fields[key]
    with pytest.raises(SpecError, match=f"^<dict>: {key}: expected this key, found only the keys"):
        DatasetSpec.from_dict(toy_dataset_fields)

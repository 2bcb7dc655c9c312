"""Spec files: the bundled ones, and where a file is looked for."""

from __future__ import annotations

import json

import pytest
import yaml

from pps_torch.specs import DatasetSpec, EvalSpec, SpecError
from pps_torch.specs.bundled import FOLDERS, bundled_files

ORIGINAL_OF = {
    "cpp_default": "ppq_cpp_19_23_cvpr21_default",
    "cpp_grouped": "ppq_cpp_19_23_cvpr21_grouped",
    "ppp_default": "ppq_ppp_59_57_cvpr21_default",
    "ppp_107": "ppq_ppp_59_107_cvpr21_default",
}


def flat_text(value) -> str:
    """Every id and name of a spec with its order."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flat_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (DatasetSpec, EvalSpec)):
        return flat_text(vars(value))
    return repr(value)


@pytest.mark.parametrize(
    ("name", "things", "stuff", "parts", "flat"),
    [
        ("cpp_default", 8, 11, 5, 23),
        ("cpp_grouped", 8, 11, 5, 9),
        ("ppp_default", 20, 39, 15, 57),
        ("ppp_107", 20, 39, 15, 107),
    ],
)
def test_bundled(name, things, stuff, parts, flat):
    spec = EvalSpec.load(name)
    assert spec.name == name
    assert (len(spec.things), len(spec.stuff), len(spec.parts)) == (things, stuff, parts)
    assert spec.highest_flat_pid == flat
    assert set(range(1, flat + 1)) <= set(spec.part_labels)
    assert spec.ignore_label == 255
    for category in spec.categories:
        sid = category["id"]
        assert category["name"] == spec.dataset.scene_classes[sid]
        assert tuple(category["color"]) == spec.dataset.colors[sid]


@pytest.mark.parametrize("name", ORIGINAL_OF)
def test_bundled_evalspec_equals_the_original(name, originals):
    original = EvalSpec.load(originals / "eval_specs" / f"{ORIGINAL_OF[name]}_evalspec.yaml")
    assert original.name == ORIGINAL_OF[name]
    bundled = EvalSpec.load(name)
    for field, value in vars(bundled).items():
        if field == "name":
            continue
        if field == "dataset_sid_pid_to_eval_sid_pid":
            assert value == getattr(original, field)
        else:
            assert flat_text(value) == flat_text(getattr(original, field)), field


@pytest.mark.parametrize("name", ["cpp", "ppp"])
def test_bundled_datasetspec_equals_the_original(name, originals):
    original = DatasetSpec.load(originals / "dataset_specs" / f"{name}_datasetspec.yaml")
    assert flat_text(DatasetSpec.load(name)) == flat_text(original)


@pytest.mark.parametrize(
    "path", [path for kind in FOLDERS for path in bundled_files(kind).values()]
)
def test_bundled_files_read_the_same_as_numbers(path):
    """A plain YAML 1.1 reader, which makes numbers of ids, must find the same spec."""
    fields = yaml.safe_load(path.read_text())
    if path.parent == FOLDERS["datasetspec"]:
        as_text, as_numbers = DatasetSpec.load(path), DatasetSpec.from_dict(fields)
    else:
        as_text = EvalSpec.load(path)
        as_numbers = EvalSpec.from_dict(fields, as_text.dataset, name=as_text.name)
        assert as_numbers.dataset is as_text.dataset
    for field, value in vars(as_text).items():
        if field != "dataset":
            assert flat_text(value) == flat_text(getattr(as_numbers, field))


def write(path, fields):
    """JSON is YAML."""
    path.write_text(json.dumps(fields))
    return path


@pytest.mark.parametrize("file_name", ["toy_evalspec.yaml", "toy.yaml", "toy.yml"])
@pytest.mark.parametrize("place", ["as given", "beside the file", "by name beside the file"])
def test_load_finds_the_dataset(
    tmp_path, monkeypatch, toy_fields, toy_dataset_fields, file_name, place
):
    dataset_path = "data.yaml" if place == "beside the file" else "some/where/data.yaml"
    folder = tmp_path if place == "as given" else tmp_path / "specs"
    folder.mkdir(exist_ok=True)
    target = tmp_path / dataset_path if place == "as given" else folder / "data.yaml"
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, toy_dataset_fields)
    path = write(folder / file_name, {**toy_fields, "dataset_spec_path": dataset_path})

    monkeypatch.chdir(tmp_path)
    for argument in (path, str(path), path.relative_to(tmp_path)):
        spec = EvalSpec.load(argument)
        assert spec.name == "toy"
        assert spec.dataset.name == "Toy"


@pytest.mark.parametrize("dataset_path", ["data.yaml", "some/where/data.yaml"])
def test_the_dataset_beside_the_file_comes_before_the_working_directory(
    tmp_path, monkeypatch, toy_fields, toy_dataset_fields, dataset_path
):
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder / "data.yaml", toy_dataset_fields)
    shadow = tmp_path / dataset_path
    shadow.parent.mkdir(parents=True, exist_ok=True)
    write(shadow, {**toy_dataset_fields, "name": "Another"})
    path = write(folder / "toy.yaml", {**toy_fields, "dataset_spec_path": dataset_path})
    monkeypatch.chdir(tmp_path)
    assert EvalSpec.load(path).dataset.name == "Toy"


def test_a_bundled_spec_ignores_the_working_directory(tmp_path, monkeypatch):
    other = tmp_path / "panoptic_parts/specs/dataset_specs/cpp_datasetspec.yaml"
    other.parent.mkdir(parents=True)
    other.write_text("nonsense")
    monkeypatch.chdir(tmp_path)
    assert EvalSpec.load("cpp_default").dataset.name == "Cityscapes Panoptic Parts"


@pytest.mark.parametrize("name", ["cpp_defualt", "/no/such/file.yaml", "."])
def test_no_such_spec(name):
    with pytest.raises(SpecError, match=r"\(cpp_default, cpp_grouped, ppp_107, ppp_default\)"):
        EvalSpec.load(name)


def test_no_such_dataset(tmp_path, toy_fields):
    path = write(tmp_path / "toy.yaml", {**toy_fields, "dataset_spec_path": "mine.yaml"})
    with pytest.raises(
        SpecError, match=r"toy.yaml: dataset_spec_path: .* none at .*/mine.yaml, mine.yaml, "
    ):
        EvalSpec.load(path)


def test_errors_of_a_file_name_the_file(tmp_path, toy_fields):
    path = write(tmp_path / "toy.yaml", {**toy_fields, "dataset_spec_path": "cpp_datasetspec.yaml"})
    path.write_text(path.read_text().replace('"ignore_label": 255', '"ignore_label": -5'))
    with pytest.raises(SpecError, match=r"toy.yaml: ignore_label: expected .*, found -5"):
        EvalSpec.load(path)

"""Spec files from a list of names or from the categories of a COCO JSON."""

from __future__ import annotations

import errno
import json

import pytest

from pps_torch import EvalSpec
from pps_torch.cli.main import main
from pps_torch.io import atomic
from pps_torch.io.errors import InputError
from pps_torch.pipelines import RunOptions, new_spec

QUIET = RunOptions(quiet=True)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_list_of_names(tmp_path, capsys):
    names = write(tmp_path / "names.txt", "soil\n\n leaf litter \nplant\n")
    output = tmp_path / "field_evalspec.yaml"
    words = ["new_spec", str(names), str(output), "--things", "plant"]
    assert main(words) == 0 and "field_datasetspec.yaml" in capsys.readouterr().out
    spec = EvalSpec.load(output)
    assert spec.scene_labels == {1: "soil", 2: "leaf litter", 3: "plant"}
    assert spec.things == (3,) and spec.dataset.name == "field"
    assert main(words) == 2 and "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_coco_categories(tmp_path):
    categories = [
        {"id": 11.0, "name": "soil", "isthing": 0, "color": "#604020", "supercategory": "x"},
        {"id": 15, "name": "植物", "isthing": 1, "parts": ["葉", "茎"], "color": "rubbish"},
    ]
    path = write(tmp_path / "a.json", {"categories": categories})
    spec = EvalSpec.load(new_spec(path, tmp_path / "own.yaml", options=QUIET))
    assert spec.scene_labels == {11: "soil", 15: "植物"} and spec.things == (15,)
    assert spec.colors[11] == (96, 64, 32) and spec.part_labels == {1: "植物-葉", 2: "植物-茎"}


def test_categories_that_do_not_say_what_is_a_thing(tmp_path, capsys):
    path = write(tmp_path / "a.json", [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
    spec = EvalSpec.load(new_spec(path, tmp_path / "own.yaml"))
    assert spec.things == (1, 2) and "classes are things, so all are" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "things", "message"),
    [
        (
            {"categories": []},
            None,
            r"a.json: categories: expected a list of .*, found \[\]",
        ),
        ({"a": 1}, None, "a.json: categories: expected a list of categories, found null"),
        ([3], None, r"a.json: categories\[0\]: expected an object, found 3"),
        ([{"id": 0, "name": "a"}], None, r"categories\[0\]: id: expected an id from 1 .*found 0$"),
        ([{"id": 1}], None, r"a.json: classes\[0\]: name: expected this key"),
        ([{"id": 1.5, "name": "a"}], None, r"classes\[0\]: id: expected an integer"),
        ([{"id": 1, "name": "a"}], ["b"], "things: expected names in .*a.json, found 'b'"),
    ],
)
def test_bad_lists_are_named(tmp_path, content, things, message):
    path = write(tmp_path / "a.json", content)
    with pytest.raises(InputError, match=message):
        new_spec(path, tmp_path / "own.yaml", things=things, options=QUIET)
    assert not list(tmp_path.glob("*.yaml"))


def test_a_missing_list(tmp_path):
    with pytest.raises(InputError, match="none.txt: cannot be read: No such file"):
        new_spec(tmp_path / "none.txt", tmp_path / "own.yaml", options=QUIET)


def test_both_files_are_written_or_none(tmp_path, monkeypatch):
    output = tmp_path / "own_evalspec.yaml"
    new_spec(write(tmp_path / "a.txt", "soil\n"), output, options=QUIET)
    files = [output, tmp_path / "own_datasetspec.yaml"]
    before, write_whole = [file.read_bytes() for file in files], atomic._write

    def write_half(path, content):
        if "own_evalspec" in path.name:
            write_whole(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write_whole(path, content)

    monkeypatch.setattr(atomic, "_write", write_half)
    names = write(tmp_path / "b.txt", "soil\nplant\n")
    with pytest.raises(InputError, match="own_evalspec.yaml: cannot be written: No space"):
        new_spec(names, output, options=RunOptions(quiet=True, overwrite=True))
    assert [file.read_bytes() for file in files] == before

"""The demo: complete, repeatable, careful with what it finds."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from pps_torch.io.errors import InputError
from pps_torch.pipelines import RunOptions, demo, demonstration, eval_pq
from pps_torch.specs import EvalSpec
from pps_torch.synthetic.street_files import StreetFolders, write_streets

OPTIONS = RunOptions(device="cpu")


@pytest.fixture(autouse=True)
def small_streets(monkeypatch):
    monkeypatch.setattr(demonstration, "SIZE", (192, 384))
    monkeypatch.setattr(demonstration, "NUM_STREETS", 2)


def written(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.mark.slow
def test_demo_runs_everything_and_again(tmp_path, capsys):
    demo(tmp_path / "demo", options=OPTIONS)
    text = capsys.readouterr().out
    for command in (
        "prepare_data",
        "merge_to_panoptic",
        "merge_to_pps",
        "eval_partpq",
        "eval_pq",
        "report",
    ):
        assert f"pps-torch {command} " in text
    assert "PartPQ" in text and "both instance formats give the same" in text
    assert str(tmp_path / "demo" / "pictures") in text

    first = written(tmp_path / "demo")
    assert first["report.html"].startswith(b"<!doctype html>")
    pictures = [name for name in first if name.startswith("pictures/")]
    assert len(pictures) == 4
    for name in pictures:
        Image.open(tmp_path / "demo" / name).load()
    for name, metric in (("cpp_default", "PartPQ"), ("pq", "PQ")):
        document = json.loads(first[f"results/{name}_results.json"])
        assert 0.2 < document["metrics"][metric]["value"] < 0.95

    demo(tmp_path / "demo", options=OPTIONS)
    assert written(tmp_path / "demo") == first


def test_perfect_prediction_has_quality_one(tmp_path):
    """The ground truth that the demo writes in COCO format agrees with itself."""
    write_streets(StreetFolders(tmp_path), EvalSpec.load("cpp_default"), (192, 384), 2)
    gt = tmp_path / "gt_panoptic.json"
    result = eval_pq(gt, gt, options=RunOptions(device="cpu", quiet=True))
    assert {group["PQ"] for group in result.summary.values()} == {1.0}


def test_files_of_other_origin_are_left_alone(tmp_path):
    (tmp_path / "images.json").write_text("mine")
    with pytest.raises(InputError, match="already holds 1 .*images.json"):
        demo(tmp_path, options=OPTIONS)
    assert (tmp_path / "images.json").read_text() == "mine"

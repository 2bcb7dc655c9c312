"""The scripts for Detectron2 run: training, evaluation of what was trained, and pictures."""

from __future__ import annotations

import runpy
import sys

import pytest

pytest.importorskip("detectron2", reason="needs Detectron2")

from pps_torch.integrations.detectron2.data import dataset_files
from pps_torch.io.image_files import read_size
from pps_torch.io.images import read_photo, write_rgb
from pps_torch.pipelines import Tables
from pps_torch.synthetic import make_street
from tests import ROOT

CONFIG = ROOT / "configs" / "quick_schedules" / "part_aware_panoptic_fpn_R_18_synthetic_cpu.yaml"
TINY = "INPUT.MIN_SIZE_TRAIN (64,) INPUT.MIN_SIZE_TEST 64 SOLVER.MAX_ITER 2 TEST.PPS.PERIOD 0"


@pytest.fixture(autouse=True)
def three_streets(monkeypatch):
    monkeypatch.setitem(dataset_files.STREETS, "val", (1_000_000, 3))


def run(monkeypatch, name: str, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(ROOT / "tools" / f"{name}.py"), run_name="__main__")


def test_train_then_evaluate_then_draw(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    opts = [*TINY.split(), "TEST.EXPECTED_RESULTS", "[]", "OUTPUT_DIR", tmp_path / "run"]
    run(monkeypatch, "train_net", "--config-file", CONFIG, "--num-gpus", 0, *opts)
    weights = tmp_path / "run" / "model_final.pth"
    assert weights.is_file()
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "PartPQ" in capsys.readouterr().out and "bicycle" in log  # the table of all classes

    opts += ["MODEL.WEIGHTS", weights]
    assert [path.suffix for path in (tmp_path / "run" / "inference").iterdir()] == [".json"]

    evaluate = [*opts, "TEST.PPS.TABLES", True]
    run(
        monkeypatch, "train_net", "--config-file", CONFIG, "--num-gpus", 0, "--eval-only", *evaluate
    )
    assert "PartPQ" in capsys.readouterr().out
    tables = Tables.load(tmp_path / "run" / "inference")
    assert list(tables.images) == ["street_1000000", "street_1000001", "street_1000002"]

    photo = tmp_path / "street.png"
    write_rgb(photo, make_street((96, 160), 7).photo.numpy())
    arguments = ["--config-file", CONFIG, "--input", photo, "--output", tmp_path / "pictures"]
    run(monkeypatch, "demo_detectron2", *arguments, *opts)
    picture = tmp_path / "pictures" / "street_pps.png"
    assert capsys.readouterr().out.strip().endswith(str(picture))
    height, width = read_size(picture)
    assert height >= 96 and width > 160  # the legend is beside it
    drawn = read_photo(picture, (height, width))[:, :96, :160]
    assert (drawn != read_photo(photo, (96, 160))).any()


def test_a_photo_that_is_not_there_is_one_clear_error(tmp_path, monkeypatch, capsys):
    """Before anything is built, or even the configuration read."""
    arguments = ["--config-file", "x.yaml", "--input", "photo.png", "--output", tmp_path / "out"]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, "demo_detectron2", *arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err == ("error: photo.png: expected an image, found no such file\n")
    assert not (tmp_path / "out").exists()

"""The scripts of docs/examples/ run, and their numbers show that they did what they say."""

from __future__ import annotations

import re
import runpy

import numpy as np
import pytest
import torch

from pps_torch import PanopticSegmentation
from pps_torch.io.errors import InputError
from pps_torch.io.images import write_rgb
from pps_torch.io.writers import PanopticWriter
from tests import ROOT
from tests.docs.elsewhere import RUN_ELSEWHERE
from tests.processes import run_python

FOLDER = ROOT / "docs" / "examples"


def output_of(script: str, *arguments: str) -> str:
    """What a script prints."""
    run = run_python(str(FOLDER / script), *arguments)
    assert run.returncode == 0, run.stderr
    return run.stdout


def numbers(pattern: str, text: str) -> list[float]:
    """The numbers that a pattern's group finds in a text."""
    return [float(number) for number in re.findall(pattern, text, flags=re.M)]


def test_all_examples_are_run_here():
    here = {name for name, place in RUN_ELSEWHERE.items() if place == "tests/docs/test_examples.py"}
    assert {path.name for path in FOLDER.glob("*.py")} == here


@pytest.mark.slow
def test_pq_rises_in_a_training_loop():
    qualities = numbers(r"^epoch \d: .*PQ (.*)$", output_of("train_on_coco_files.py"))
    assert len(qualities) == 5 and qualities[-1] > qualities[0] + 0.05


def test_the_photos_of_coco_are_found_by_the_numbers_in_their_names(tmp_path):
    (tmp_path / "photos").mkdir()
    categories = [{"id": 7, "name": "road", "isthing": 0}]
    road = [{"id": 1, "category_id": 7, "isthing": 0}]
    with PanopticWriter(tmp_path / "gt.json", categories) as writer:
        for image_id in (1, 10, 139):
            seg = PanopticSegmentation.from_segments(torch.ones(2, 3).int(), road)
            writer.write(image_id, seg, file_name=f"{image_id:012d}.png")
            photo = np.full((3, 2, 3), image_id, np.uint8)
            write_rgb(tmp_path / "photos" / f"{image_id:012d}.png", photo)
    script = runpy.run_path(str(FOLDER / "train_on_coco_files.py"))
    dataset = script["CocoPanoptic"](tmp_path / "gt.json", tmp_path / "photos")
    levels = [round(float(dataset[index][0].max() * 255)) for index in range(3)]
    assert levels == [1, 10, 139]
    (tmp_path / "photos" / f"{1:012d}.png").unlink()
    with pytest.raises(InputError, match="expected one file of photo .* image 1: no file"):
        script["CocoPanoptic"](tmp_path / "gt.json", tmp_path / "photos")


@pytest.mark.slow
def test_mask2former_gets_pq_and_partpq():
    pytest.importorskip("transformers")
    pytest.importorskip("scipy")
    pq, part_pq = numbers(r"^All +(\S+)", output_of("mask2former_to_partpq.py"))
    assert pq > 20 and part_pq > 20 and pq != part_pq


@pytest.mark.slow
def test_the_trainer_reports_pq_after_each_epoch():
    for library in ("transformers", "scipy", "accelerate"):
        pytest.importorskip(library)
    assert len(numbers(r"^epoch \d: PQ (.*)$", output_of("mask2former_trainer.py", "2"))) == 2


@pytest.mark.slow
def test_two_processes_count_as_one():
    together, alone = numbers(r"process.*: +(.*)$", output_of("two_processes.py"))
    assert together == alone > 0.1

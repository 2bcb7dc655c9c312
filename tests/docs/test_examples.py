"""The scripts of docs/examples/ run, and their numbers show that they did what they say."""

from __future__ import annotations

import re

import pytest

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


@pytest.mark.slow
def test_mask2former_gets_pq_and_partpq():
    pytest.importorskip("transformers")
    pytest.importorskip("scipy")
    pq, part_pq = numbers(r"^All +(\S+)", output_of("mask2former_to_partpq.py"))
    assert pq > 5 and part_pq > 5 and pq != part_pq


@pytest.mark.slow
def test_the_trainer_reports_pq_after_each_epoch():
    for library in ("transformers", "scipy", "accelerate"):
        pytest.importorskip(library)
    assert len(numbers(r"^epoch \d: PQ (.*)$", output_of("mask2former_trainer.py", "2"))) == 2


@pytest.mark.slow
def test_two_processes_count_as_one():
    together, alone = numbers(r"process.*: +(.*)$", output_of("two_processes.py"))
    assert together == alone > 0.1

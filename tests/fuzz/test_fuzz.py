"""Damaged files end in one clear error or the right result; 500 here, more by tools/fuzz.py."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from tests import ROOT
from tests.fuzz import case as fuzz_case
from tests.fuzz.case import TARGETS, Cases, Verdict
from tests.fuzz.mutations import MUTATIONS
from tests.fuzz.runner import main

TOOLS = sorted({tool for targets in TARGETS.values() for tool, _ in targets})


@pytest.mark.slow
def test_500_cases(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    code = main(["--cases", "500", "--seed", "1", "--processes", "2", "--log", str(log)])
    assert code == 0, capsys.readouterr().out
    outcomes = [json.loads(line)["outcome"] for line in log.read_text().splitlines()]
    assert len(outcomes) == 500
    assert outcomes.count("right") > 50 and outcomes.count("not judged") < 25


@pytest.mark.parametrize("tool", TOOLS)
def test_undamaged_files_give_the_right_result(tmp_path, tool):
    assert Cases(tmp_path, seed=0).run_undamaged(tool) == Verdict("right", "")


@pytest.mark.slow
def test_a_case_is_the_same_each_time(tmp_path):
    cases = Cases(tmp_path / "a", seed=4), Cases(tmp_path / "b", seed=4)
    numbers = range(30)
    assert [cases[0].run(n) for n in numbers] == [cases[1].run(n) for n in reversed(numbers)][::-1]


def test_a_wrong_number_is_found(tmp_path, monkeypatch):
    """A reader that is wrong by one pixel."""
    from pps_torch.pipelines import partpq_evaluation

    read = partpq_evaluation.read_pps_map

    def read_wrongly(path, size=None):
        pps = read(path, size).copy()
        pps[-1, -1, 0] = 11
        return pps

    monkeypatch.setattr(partpq_evaluation, "read_pps_map", read_wrongly)
    verdict = Cases(tmp_path, seed=0).run_undamaged("eval_partpq")
    assert verdict.outcome == "BAD" and "wrong: class" in verdict.detail


def test_an_error_that_is_not_our_own_is_found(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyError("segments_info")

    monkeypatch.setattr(fuzz_case, "main", fail)
    verdict = Cases(tmp_path, seed=0).run_undamaged("eval_pq")
    assert verdict.outcome == "BAD" and "KeyError" in verdict.detail


def test_an_error_that_comes_after_the_work_is_found(tmp_path, monkeypatch):
    """A full disk here, which no case has."""
    from pps_torch.io import atomic

    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cases = Cases(tmp_path, seed=0)
    monkeypatch.setattr(atomic, "_write", no_space)
    verdict = cases.run_undamaged("eval_pq")
    assert verdict.outcome == "BAD" and "found after the work" in verdict.detail


@pytest.mark.slow
def test_a_crash_a_hang_and_much_memory_are_found_and_the_next_case_goes_on(tmp_path, monkeypatch):
    """Workers whose cases 0, 1 and 2 do what no case may."""
    worker = tmp_path / "worker.py"
    worker.write_text(f"""
import os, sys, time
sys.path.insert(0, {str(ROOT)!r})
import tests.fuzz.case
import tests.fuzz.runner
def run(self, number):
    if number == 0:
        os.abort()
    if number == 1:
        time.sleep(100)
    if number == 2:
        try:
            bytearray(10**11)
        except MemoryError as error:
            return "memory", tests.fuzz.case.Verdict("BAD", repr(error))
    return "fine", tests.fuzz.case.Verdict("right", "")
tests.fuzz.case.Cases.run = run
tests.fuzz.runner.main(sys.argv[1:])
""")
    from tests.fuzz import runner

    monkeypatch.setattr(runner, "__file__", str(worker))
    monkeypatch.setattr(runner, "SECONDS", 2)
    log = tmp_path / "log.jsonl"
    assert main(["--cases", "5", "--log", str(log)]) == 1
    details = [json.loads(line)["detail"] for line in log.read_text().splitlines()]
    assert details[:2] == ["ended with code -6", "took more than 2 s"]
    assert details[2].startswith("more than 1500 MB") and details[3:] == ["", ""]


@pytest.mark.slow
def test_an_interrupted_run_goes_on(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [json.dumps({"case": n, "kind": "k", "outcome": "right", "detail": ""}) for n in (0, 1)]
    log.write_text("\n".join([*lines, '{"case": 2, "ki']))
    command = [sys.executable, str(ROOT / "tools" / "fuzz.py"), "--cases", "4", "--log", str(log)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0 and "4 cases, 0 bad" in run.stdout
    assert log.read_text().count('"kind": "k"') == 2


@pytest.mark.parametrize("suffix", MUTATIONS)
def test_each_kind_is_changed_in_nearly_every_case(tmp_path, suffix):
    from random import Random

    cases = Cases(tmp_path, seed=0)
    names = [name for targets in TARGETS.values() for _, name in targets if name.endswith(suffix)]
    content = (cases.folder / names[0]).read_bytes()
    changed = [MUTATIONS[suffix](content, Random(number)) != content for number in range(50)]
    assert sum(changed) > 40

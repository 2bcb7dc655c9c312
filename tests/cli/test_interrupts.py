"""Ctrl-C ends each command within a second, whatever it is doing, and says what was done."""

from __future__ import annotations

import hashlib
import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from pps_torch.cli.main import main
from pps_torch.io import atomic
from pps_torch.metrics import PartPanopticQuality
from pps_torch.pipelines import partpq_evaluation
from tests.cli.small_dataset import SmallDataset, never_read
from tests.cli.warm_processes import Job, WarmProcess, wait_until

SECOND = 1.0
NEXT_RUN = "the files written so far are complete, and the same command does the rest"
AT_THE_END = "the result is written at the end, whole or not at all"
COMMANDS = {
    "merge_to_panoptic": ("semantic", "merging", NEXT_RUN),
    "merge_to_pps": ("parts", "merging", NEXT_RUN),
    "eval_partpq": ("gt", "evaluating", AT_THE_END),
    "eval_pq": ("panoptic_dir", "evaluating", AT_THE_END),
    "visualize": ("pps", "drawing", NEXT_RUN),
}


def interrupt(process: WarmProcess, again: bool = False) -> tuple[float, int, str]:
    """Press Ctrl-C; returns the seconds to the end, the exit code and what was printed."""
    begun = time.monotonic()
    os.kill(process.process.pid, signal.SIGINT)
    if again:
        process.process.join(0.1)
        os.kill(process.process.pid, signal.SIGINT)
    code = process.wait(20)
    return time.monotonic() - begun, code, process.messages.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_while_threads_read_what_does_not_come(tmp_path, command):
    """Two threads wait for a disk that does not answer; Ctrl-C is pressed twice."""
    folder, step, left = COMMANDS[command]
    dataset = SmallDataset(tmp_path, 6)
    with never_read(sorted(getattr(dataset, folder).iterdir())[-2:]) as is_reading:
        process = WarmProcess(dataset.arguments(command), tmp_path / "messages.txt")
        wait_until(is_reading)
        time.sleep(0.05)  # until the main thread has counted the others
        seconds, code, messages = interrupt(process, again=True)
    assert seconds < SECOND
    assert (code, messages) == (130, f"stopped after {step} 4 of 6 images; {left}\n")
    written = dataset.written()
    assert not any("json" in name for name in written)
    assert bool(written) == (left == NEXT_RUN)


@pytest.mark.slow
def test_before_the_first_image(tmp_path):
    dataset = SmallDataset(tmp_path)
    with never_read([dataset.images_json]) as is_reading:
        process = WarmProcess(dataset.arguments("eval_partpq"), tmp_path / "messages.txt")
        wait_until(is_reading)
        seconds, code, messages = interrupt(process)
    assert seconds < SECOND and (code, messages) == (130, f"stopped; {AT_THE_END}\n")


def do_not_come_back(*_):
    """Stand for an operation that does not come back to Python, where signals are handled."""
    Path("begun").touch()
    hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)  # for half an hour


def compute_slowly():
    """Let the computing of the final numbers not come back."""
    PartPanopticQuality.compute = do_not_come_back


def write_slowly():
    """Let the writing of the result not come back."""
    atomic.os.replace = do_not_come_back


@pytest.mark.slow
@pytest.mark.parametrize("prepare", [compute_slowly, write_slowly])
def test_in_an_operation_that_does_not_answer(tmp_path, monkeypatch, prepare):
    dataset, begun = SmallDataset(tmp_path), tmp_path / "begun"
    monkeypatch.chdir(tmp_path)
    words = dataset.arguments("eval_partpq")
    process = WarmProcess(words, tmp_path / "messages.txt", prepare=prepare)
    wait_until(begun.exists)
    seconds, code, messages = interrupt(process)
    assert seconds < SECOND and code == 130 and dataset.written() == {}
    assert messages.strip() == f"stopped after evaluating 3 of 3 images; {AT_THE_END}"


ABORTS = """
import os, signal
try:
    signal.raise_signal(signal.SIGINT)
finally:
    os.abort()
"""


def import_what_aborts():
    """Let a command import a module that aborts at an exception, as those in C++ do."""
    sys.path.insert(0, os.getcwd())
    partpq_evaluation.EvalSpec.load = lambda *_: importlib.import_module("aborts")


@pytest.mark.slow
def test_while_a_module_is_imported(tmp_path, monkeypatch):
    dataset = SmallDataset(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aborts.py").write_text(ABORTS)
    words, messages = dataset.arguments("eval_partpq"), tmp_path / "messages.txt"
    assert WarmProcess(words, messages, prepare=import_what_aborts).wait() == 130
    assert messages.read_text() == f"stopped; {AT_THE_END}\n"


def interrupted_at_the_end() -> int:
    code = main()
    signal.raise_signal(signal.SIGINT)
    return code


@pytest.mark.slow
def test_when_the_work_is_done(tmp_path):
    """There is nothing left to stop while the interpreter ends."""
    dataset = SmallDataset(tmp_path)
    words, messages = dataset.arguments("eval_pq"), tmp_path / "messages.txt"
    assert WarmProcess(words, messages, program=interrupted_at_the_end).wait() == 0
    assert "stopped" not in messages.read_text() and len(dataset.written()) == 1


@pytest.mark.slow
def test_several_processes_say_it_once(tmp_path):
    dataset = SmallDataset(tmp_path, 6)
    with never_read([sorted(dataset.semantic.iterdir())[-1]]) as is_reading:
        job = Job(dataset.arguments("merge_to_panoptic"), 2, tmp_path / "messages")
        wait_until(lambda: is_reading() and len(list(dataset.output.rglob("*.png"))) == 5)
        begun = time.monotonic()
        for each in job.processes:
            os.kill(each.process.pid, signal.SIGINT)
        assert job.exit_codes(20) == [130, 130]
    assert time.monotonic() - begun < SECOND
    messages = "".join(job.messages())
    assert messages.startswith("error: rank ") and messages.count("\n") == 1
    assert "of 3 images; the files written so far are complete" in messages


def test_nothing_is_left_open(tmp_path):
    """Files and threads of a run are gone when it has ended."""
    dataset = SmallDataset(tmp_path, 9)
    before = None
    for _ in range(3):
        assert dataset.run("eval_partpq", "--overwrite") == 0
        now = len(os.listdir("/proc/self/fd")), threading.active_count()
        assert before in (None, now)
        before = now


def test_in_a_lock_that_python_fails_to_leave(tmp_path, monkeypatch, capsys):
    """`with lock:` ends in a RuntimeError where Ctrl-C comes before the lock is acquired."""

    def evaluate(*_):
        try:
            raise KeyboardInterrupt
        finally:
            threading.Lock().release()

    dataset = SmallDataset(tmp_path)
    monkeypatch.setattr("pps_torch.pipelines.partpq_evaluation.EvalSpec.load", evaluate)
    assert dataset.run("eval_partpq") == 130
    assert capsys.readouterr().err.startswith("stopped; ")

"""A terminal that cannot be written, or not in every language, ends no job."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests import ROOT
from tests.cli.small_dataset import SmallDataset

COMMAND = f'"{sys.executable}" -m pps_torch'


def run(dataset: SmallDataset, tool: str, redirection: str, **variables: str):
    """A command with its output led elsewhere by a shell."""
    words = " ".join(f'"{word}"' for word in dataset.arguments(tool) if word != "--quiet")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {COMMAND} {words} {redirection}"],
        capture_output=True,
        env=environment,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2> >(head -c1)", ">&- 2>&-"])
def test_an_unwritable_stderr_ends_no_merge(tmp_path, redirection):
    whole, dataset = (SmallDataset(tmp_path / name, 20) for name in ("whole", "dataset"))
    assert whole.run("merge_to_panoptic") == 0
    done = run(dataset, "merge_to_panoptic", redirection)
    assert done.returncode == 0, done.stderr
    assert dataset.written() == whole.written()


@pytest.mark.slow
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_an_unwritable_stdout_keeps_the_files_and_is_said(tmp_path, redirection):
    whole, dataset = (SmallDataset(tmp_path / name) for name in ("whole", "dataset"))
    assert whole.run("eval_pq") == 0
    done = run(dataset, "eval_pq", redirection)
    assert done.returncode == 2 and dataset.written() == whole.written()
    assert b"error: the standard output: cannot be written" in done.stderr
    assert b"Traceback" not in done.stderr
    merged = run(dataset, "merge_to_pps", redirection)
    assert merged.returncode == 0, "a merge has only notes to print"


@pytest.mark.slow
def test_nobody_reads_the_result(tmp_path):
    dataset = SmallDataset(tmp_path)
    done = run(dataset, "eval_pq", "| true")
    assert done.returncode == 0 and len(dataset.written()) == 1 and b"Trace" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_while_torch_is_imported(tmp_path):
    """The first two seconds of a command; before, each of them ended in a traceback."""
    rng, seen = random.Random(18), []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "pps_torch", *SmallDataset(tmp_path, 30).arguments("eval_pq")]
    for _ in range(8):
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
        )
        time.sleep(rng.uniform(0.25, 1.0))
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
        seen.append(process.returncode)
        assert process.returncode == 130, message
        assert message.startswith("stopped") and message.count("\n") == 1, message
    print(f"{len(seen)} times Ctrl-C in the first second")

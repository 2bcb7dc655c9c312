"""Odd environments: the same files and exit codes as in a usual one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import ROOT
from tests.cli.small_dataset import SmallDataset

COMMANDS = ("merge_to_panoptic", "eval_pq")
PLACE = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
USUAL = {**os.environ, **PLACE, "OMP_NUM_THREADS": "1"}

ENVIRONMENTS = {
    "nothing set": ([], "", PLACE),
    "-OO": (["-OO"], "", USUAL),
    "-W error": (["-W", "error"], "", USUAL),
    "20 open files": ([], "ulimit -n 20;", USUAL),
    "an ASCII terminal": (
        [],
        "",
        {**USUAL, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    ),
    "no home, a root without writing": ([], "cd /;", {**PLACE, "HOME": "/nothing"}),
    "isolated": (["-s", "-B"], "umask 077;", USUAL),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_odd_environment(tmp_path, name):
    options, before, variables = ENVIRONMENTS[name]
    for command in COMMANDS:
        usual, odd = (SmallDataset(tmp_path / f"{command} {kind}", 8) for kind in ("usual", "odd"))
        assert usual.run(command) == 0
        words = [sys.executable, *options, "-m", "pps_torch", *odd.arguments(command)]
        shell = ["bash", "-c", f'{before} exec "$@"', "bash", *words]
        done = subprocess.run(shell, env=variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert odd.written() == usual.written() and "Traceback" not in done.stderr
        shell += ["--workers", "0"]
        failed = subprocess.run(shell, env=variables, capture_output=True, text=True, timeout=120)
        assert failed.returncode == 2, failed.stderr
        assert failed.stderr == "error: --workers: expected at least 1, found 0\n"

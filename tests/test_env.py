"""What `pps-torch env` prints."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from pps_torch import __version__
from pps_torch.cli.main import main
from pps_torch.env import NEEDED, OPTIONAL, environment
from pps_torch.ops import backend as backends
from tests import ROOT


def test_it_names_versions_devices_and_what_is_missing(capsys):
    assert main(["env"]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["pps_torch"] == __version__
    assert lines["torch"] == torch.__version__.split("+")[0] or lines["torch"] == torch.__version__
    assert {*NEEDED, *OPTIONAL} <= set(lines)
    for module in OPTIONAL:
        is_installed = importlib.util.find_spec(module) is not None
        assert (lines[module] != "not installed") == is_installed


def test_it_names_the_gpu(capsys):
    found = environment()
    if torch.cuda.is_available():
        assert torch.cuda.get_device_name(0) in found["cuda:0"]
        assert "cuda: triton" in found['backend "auto"'] or "cuda: torch" in found['backend "auto"']
    else:
        assert found["CUDA"].startswith("not available")
        assert "cuda:0" not in found


@pytest.mark.parametrize(
    "setting, interpreter, text",
    [
        ("torch", "0", "cpu: torch; PPS_TORCH_BACKEND=torch; Triton's interpreter off"),
        ("rocket", "0", "expected one of"),
    ],
)
def test_it_says_which_backend_auto_is(monkeypatch, setting, interpreter, text):
    monkeypatch.setenv(backends.ENVIRONMENT_VARIABLE, setting)
    monkeypatch.setattr(backends, "_DEFAULT", setting)  # as if it had been so at the start
    monkeypatch.setenv("TRITON_INTERPRET", interpreter)
    assert text in environment()['backend "auto"']


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting, text", [("torch", "cpu: torch; "), ("rocket", "expected one of")]
)
def test_it_reads_the_settings_when_it_starts(setting, text):
    variables = {**os.environ, backends.ENVIRONMENT_VARIABLE: setting, "TRITON_INTERPRET": "0"}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = [sys.executable, str(ROOT / "tools/env.py")]
    done = subprocess.run(run, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert text in done.stdout


def test_it_has_no_options_that_do_nothing(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["env", "--device", "cpu"])
    assert stop.value.code == 2


def test_it_says_why_a_loop_is_not_compiled(monkeypatch):
    monkeypatch.setitem(sys.modules, "pps_torch.compiled.runs", None)
    assert environment()["compiled"].startswith("not runs: ")

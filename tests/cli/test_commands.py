"""The command line itself: help without torch, the scripts in tools/, options."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

import pps_torch
from pps_torch import pipelines
from pps_torch.cli import main as cli
from pps_torch.cli.main import main
from pps_torch.io.errors import InputError
from tests import ROOT
from tests.cli.small_dataset import SmallDataset

COMMANDS = (
    "prepare_data",
    "merge_to_panoptic",
    "merge_to_pps",
    "eval_partpq",
    "eval_pq",
    "visualize",
    "demo",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_common_options(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "-h"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for option in ("--device", "--workers", "--overwrite", "--quiet"):
        assert option in text


HEAVY = ("torch", "numpy", "PIL", "yaml", "pycocotools")


def loaded_modules(*lines: list[str]) -> set[str]:
    """What a process has loaded that ran these command lines, whatever the package loads."""
    code = f"""
import sys, types
sys.modules["pps_torch"] = types.ModuleType("pps_torch")
sys.modules["pps_torch"].__path__ = [{str(Path(pps_torch.__file__).parent)!r}]
from pps_torch.cli.main import main
for words in {[[*map(str, words)] for words in lines]!r}:
    try:
        main(words)
    except SystemExit:
        pass
print(*sys.modules)
"""
    run = [sys.executable, "-c", code]
    output = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    return set(output.splitlines()[-1].split())


def test_help_wrong_arguments_and_prepare_data_need_no_torch(tmp_path):
    PIL.Image.new("I", (4, 3)).save(tmp_path / "a.tif")
    jsons = ["--gt_json_file", "a.json", "--pred_json_file", "b.json"]
    loaded = loaded_modules(
        ["eval_partpq", "-h"],
        ["--version"],
        ["eval_pq"],
        ["eval_pq", *jsons, "--workers", "0"],
        ["eval_pq", *jsons, "--device", "gpu"],
        ["prepare_data", tmp_path / "nothing", tmp_path, "Pascal"],
        ["prepare_data", tmp_path, tmp_path, "Pascal"],
    )
    assert (tmp_path / "images.json").exists()
    assert not loaded & {*HEAVY}


@pytest.mark.slow
def test_a_command_loads_what_it_needs(tmp_path):
    dataset = SmallDataset(tmp_path)
    loaded = loaded_modules([*dataset.arguments("eval_pq"), "--device", "cpu"])
    assert "pps_torch.metrics.panoptic_quality" in loaded
    others = ("merging", "synthetic", "visualization.colorize", "pipelines.html_report")
    assert not loaded & {"yaml", "pycocotools", "jinja2", *(f"pps_torch.{name}" for name in others)}


@pytest.mark.slow
def test_the_package_runs_as_a_program():
    run = [sys.executable, "-m", "pps_torch", "--version"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"pps_torch {pps_torch.__version__}\n"


@pytest.mark.parametrize(
    "words, message",
    [
        (["prepare_data", "a", "b", "Pascal", "--workers", "0"], "--workers: expected at least 1"),
        (["report", "a", "b", "--side", "3"], "--side: expected 16..8192 pixels, found 3"),
    ],
)
def test_errors_name_the_option(words, message, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")


def test_errors_name_a_positional_argument_as_the_usage_does(capsys, monkeypatch):
    def refuse(**_):
        raise InputError("expected a spec", argument="eval_spec")

    monkeypatch.setattr(pipelines, "eval_partpq", refuse)
    assert main(["eval_partpq", "a", "b", "c", "d"]) == 2
    assert capsys.readouterr().err == "error: EVAL_SPEC: expected a spec\n"


def test_errors_name_a_parameter_that_is_no_argument_as_it_is(capsys, monkeypatch):
    def refuse(**_):
        raise InputError("expected 1", argument="side", remedy=("overwrite", "go on"))

    monkeypatch.setattr(pipelines, "demo", refuse)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == "error: side: expected 1; use --overwrite to go on\n"


@pytest.mark.parametrize("words", [[], ["no_such_command"], ["eval_partpq"], ["demo", "--nope"]])
def test_wrong_arguments_end_with_code_2(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert "usage: pps-torch" in capsys.readouterr().err


def test_an_unknown_option_shows_the_usage_of_its_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*SmallDataset(tmp_path).arguments("eval_partpq"), "--save-dir", "x"])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("usage: pps-torch eval_partpq") and "--save_dir DIR" in message
    assert message.endswith("pps-torch eval_partpq: error: unrecognized arguments: --save-dir x\n")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["eval_partpq", "merge_to_pps"])
def test_nobody_reads_the_output(tmp_path, command):
    """As after `| head`: the job is done, and nothing is said about it."""
    dataset = SmallDataset(tmp_path)
    words = [w for w in dataset.arguments(command) if w != "--quiet"]
    run = [sys.executable, "-m", "pps_torch.cli.main", *words]
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        run, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 0 and "Error" not in messages, messages
    assert dataset.written()


def test_each_command_has_a_script(monkeypatch):
    called = []
    monkeypatch.setattr(cli, "main", lambda command: called.append(command))
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            runpy.run_path(str(ROOT / "tools" / f"{command}.py"), run_name="__main__")
    assert called == list(COMMANDS)


@pytest.mark.slow
def test_a_script_runs_like_its_command(tmp_path):
    dataset = SmallDataset(tmp_path)
    command, *words = dataset.arguments("merge_to_pps")
    script = [sys.executable, str(ROOT / "tools" / f"{command}.py"), *words]
    subprocess.run(script, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert len(dataset.written()) == 3


def test_ctrl_c_ends_with_one_line(tmp_path, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipelines, "merge_to_pps", interrupt)
    assert SmallDataset(tmp_path).run("merge_to_pps") == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_progress_shows_rate(tmp_path, capsys):
    words = [w for w in SmallDataset(tmp_path).arguments("merge_to_pps") if w != "--quiet"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "merging: 100%" in captured.err and "image" in captured.err
    assert "3 images merged" in captured.out


def test_quiet_says_nothing(tmp_path, capsys):
    assert SmallDataset(tmp_path).run("merge_to_pps") == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""

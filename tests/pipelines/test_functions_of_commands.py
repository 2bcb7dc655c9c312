"""`pps_torch.pipelines` offers functions, and no module takes the place of one."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pps_torch import pipelines
from pps_torch.cli.command_line import read_command_line
from pps_torch.cli.commands import COMMANDS
from pps_torch.io import instances, pps_files
from pps_torch.io.errors import InputError
from pps_torch.metrics.panoptic_rules import RULES
from pps_torch.pipelines import (
    RunOptions,
    data_preparation,
    exportable_merges,
    prepare_data,
    program_export,
    report,
    visualize,
)
from pps_torch.visualization.colors import PALETTES

FOLDER = Path(pipelines.__file__).parent
MODULES = [
    ".".join(path.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(FOLDER.rglob("*.py"))
    if path.parent != FOLDER or path.stem != "__init__"
]
JOBS = [command for command in COMMANDS if command.name != "env"]


def test_no_module_has_the_name_of_a_function():
    assert not {module.split(".")[0] for module in MODULES} & set(pipelines.__all__)


@pytest.mark.parametrize("command", JOBS, ids=lambda command: command.name)
def test_each_command_is_a_function(command):
    assert inspect.isfunction(getattr(pipelines, command.name))
    assert command.name in pipelines.__all__


@pytest.mark.slow
def test_functions_stay_functions_when_modules_are_imported_first():
    code = "\n".join(
        [
            *(f"import pps_torch.pipelines.{module}" for module in MODULES),
            f"from pps_torch.pipelines import {', '.join(command.name for command in JOBS)}",
            f"print(all(map(callable, [{', '.join(command.name for command in JOBS)}])))",
        ]
    )
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.mark.parametrize("command", JOBS, ids=lambda command: command.name)
def test_the_arguments_of_a_command_are_the_parameters_of_its_function(command):
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)
    arguments = {action.dest: action for action in parser._actions}
    parameters = dict(inspect.signature(getattr(pipelines, command.name)).parameters)
    del parameters["options"]
    assert arguments.keys() == parameters.keys()
    for name, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            assert arguments[name].default == parameter.default


@pytest.mark.parametrize(
    "name, argument, values",
    [
        ("prepare_data", "dataset", data_preparation.DATASETS),
        ("merge_to_panoptic", "instseg_format", instances.FORMATS),
        ("merge_to_pps", "form", pps_files.FORMS),
        ("eval_pq", "rules", RULES),
        ("visualize", "palette", PALETTES),
        ("report", "palette", PALETTES),
        ("export", "format", program_export.FORMATS),
        ("export", "merge", exportable_merges.MERGES),
    ],
)
def test_the_choices_of_a_command_are_those_of_its_function(name, argument, values):
    (command,) = (command for command in COMMANDS if command.name == name)
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)
    (action,) = (action for action in parser._actions if action.dest == argument)
    assert action.choices == tuple(values)


def test_the_options_of_all_commands_are_those_of_a_run():
    options = read_command_line(["demo"]).options
    assert options.keys() <= {field.name for field in dataclasses.fields(RunOptions)}
    assert RunOptions(**options) == RunOptions()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: RunOptions(workers=0), "workers: expected at least 1, found 0"),
        (lambda: RunOptions(workers="4"), "workers: expected an int, found '4'"),
        (lambda: RunOptions(workers=True), "workers: expected an int, found True"),
        (lambda: RunOptions(device="gpu"), "device: expected auto, cpu, cuda or cuda:<index>"),
        (lambda: RunOptions(device=0), "device: expected auto, cpu, cuda or .*, found 0"),
        (lambda: RunOptions(device=torch.device("cpu")), "device: expected auto, .* found device"),
        (lambda: prepare_data("a", "b", "COCO"), "dataset: expected one of .* found 'COCO'"),
        (lambda: report("a", "b", side=3), "side: expected 16..8192 pixels, found 3"),
        (lambda: visualize("a", "b", "c", palette="x"), "palette: expected one of .* found 'x'"),
    ],
)
def test_errors_name_the_parameter(call, message):
    with pytest.raises(InputError, match=f"^{message}"):
        call()


def test_an_existing_file_names_the_parameter_that_helps(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("mine")
    with pytest.raises(InputError, match="page.html: already exists; use overwrite to replace it$"):
        report(tmp_path, path)

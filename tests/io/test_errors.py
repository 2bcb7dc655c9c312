"""What an InputError says, and by which names it calls parameters."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

import pps_torch
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.printing import printable

PACKAGE = Path(pps_torch.__file__).parent
ERRORS = [
    (InputError("a.png: expected ids"), "a.png: expected ids", "a.png: expected ids"),
    (
        InputError("expected 1, found 0", argument="workers"),
        "workers: expected 1, found 0",
        "--workers: expected 1, found 0",
    ),
    (
        InputError("a.json: already exists", remedy=("overwrite", "replace it")),
        "a.json: already exists; use overwrite to replace it",
        "a.json: already exists; use --overwrite to replace it",
    ),
    (
        InputError("expected 1", argument="a", remedy=("b", "help")),
        "a: expected 1; use b to help",
        "--a: expected 1; use --b to help",
    ),
]


@pytest.mark.parametrize("error, in_python, as_command", ERRORS)
def test_parameters_have_their_own_names_or_others(error, in_python, as_command):
    assert str(error) == error.text() == in_python
    assert error.text(lambda parameter: f"--{parameter}") == as_command


@pytest.mark.parametrize("error", [error for error, _, _ in ERRORS])
def test_an_error_can_be_pickled(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is InputError and copy.text(str.upper) == error.text(str.upper)


def test_errors_of_the_library_get_a_place():
    with pytest.raises(InputError, match="^image 7: no such id$") as raised:
        with input_errors_at("image 7"):
            raise ValueError("no such id")
    assert isinstance(raised.value.__cause__, ValueError)


def test_errors_that_have_a_place_stay_as_they_are():
    error = InputError("expected 1", argument="side")
    with pytest.raises(InputError) as raised, input_errors_at("image 7"):
        raise error
    assert raised.value is error


def test_other_errors_pass():
    with pytest.raises(KeyError), input_errors_at("image 7"):
        raise KeyError("id")


def test_a_message_is_one_line():
    assert printable("a\nb\x1b[0m ü") == "a\\nb\\x1b[0m ü"


def texts(path: Path) -> list[str]:
    """The texts in a source file, docstrings and the pieces of f-strings included."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


@pytest.mark.parametrize("room", ["io", "pipelines"])
def test_only_the_command_line_knows_options(room):
    """Whoever calls a function from Python knows its parameters, and no --options."""
    options = re.compile(r"--[a-z]\w*")
    found = [
        (path.name, text)
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for text in texts(path)
        if options.search(text)
    ]
    assert found == []

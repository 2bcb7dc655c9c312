"""The rooms data, modeling and evaluation do not import each other; engine joins them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pps_torch

PREFIX = "pps_torch.integrations.detectron2."
FOLDER = Path(pps_torch.__file__).parent / "integrations" / "detectron2"
ROOMS = {"data", "modeling", "evaluation", "engine"}


def imported_rooms(path: Path) -> set[str]:
    """The rooms of this integration that a file imports."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    modules = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    inner = [module.removeprefix(PREFIX) for module in modules if module.startswith(PREFIX)]
    return {module.split(".")[0] for module in inner} & ROOMS


@pytest.mark.parametrize("room", sorted(ROOMS - {"engine"}))
def test_rooms_below_the_engine_stand_alone(room):
    files = sorted((FOLDER / room).glob("*.py"))
    assert len(files) > 1
    assert {path.name: imported_rooms(path) - {room} for path in files} == {
        path.name: set() for path in files
    }


def test_the_engine_joins_all_rooms():
    found = set().union(*map(imported_rooms, (FOLDER / "engine").glob("*.py")))
    assert found == ROOMS


def test_what_lies_beside_the_rooms_imports_none():
    files = [path for path in FOLDER.glob("*.py") if path.name != "__init__.py"]
    assert files and not set().union(*map(imported_rooms, files))

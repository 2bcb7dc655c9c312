"""The rooms import each other in one direction only, and importing the package stays light."""

import ast
import functools
import graphlib
import subprocess
import sys

import pytest

import pps_torch
from tests import ROOT

PACKAGE = ROOT / "pps_torch"
ROOMS = (
    "reserved",
    "lazy_names",
    "reading",
    "printing",
    "collector",
    "graph_capture",
    "checks",
    "held_tensors",
    "specs",
    "compiled",
    "formats",
    "ops",
    "merging",
    "metrics",
    "io",
    "visualization",
    "synthetic",
    "pipelines",
    "integrations",
    "env",
    "cli",
)
#: All but those that stand for the package as a whole.
FILES = [
    path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in ROOMS
]


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text())


def imported_rooms(path):
    """Rooms of this package that a file imports."""
    modules = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module != "pps_torch", f"{path}: import from the room"
            modules.append(node.module)
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return {m.split(".")[1] for m in modules if m.startswith("pps_torch.")} - {"version"}


def test_rooms_import_upward_only():
    for path in FILES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        allowed = set(ROOMS[: ROOMS.index(room) + 1])
        if room == "metrics":
            allowed.remove("merging")
        assert imported_rooms(path) <= allowed, path


@functools.cache
def imports_among_operations():
    """Module of `ops` -> the modules of `ops` that it imports, anywhere in it."""
    names = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in (PACKAGE / "ops").rglob("*.py")
    }
    imports = {}
    for name, path in names.items():
        found = set()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom):
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        imports[name] = found & names.keys()
    return imports


def test_operations_import_each_other_in_no_circle():
    graphlib.TopologicalSorter(imports_among_operations()).prepare()  # raises CycleError


#: The files of `ops/` that all families may use.
GROUND_FLOOR = ("backend", "direct_operator", "fold", "launches")


def test_families_of_operations_share_counting_only():
    for name, imported in imports_among_operations().items():
        family = name.split(".")[2:3]
        others = {module.split(".")[2] for module in imported} - {*family, *GROUND_FLOOR}
        assert others <= (set() if family == ["counting"] else {"counting"}), name


def test_each_operator_has_its_plain_version_beside():
    for path in (PACKAGE / "ops").glob("*/triton/*.py"):
        if "@direct_operator(" in path.read_text():
            assert (path.parents[1] / path.name).exists(), path


#: Files of `ops/scoring/` that hold no operation of their own; their users' tests cover them.
NO_OPERATION = ("__init__", "compare_part_segments", "contract", "segment_table")


def test_each_operation_of_scoring_has_a_test_file():
    files = {path.stem for path in (PACKAGE / "ops" / "scoring").glob("*.py")}
    tested = {path.stem for path in (ROOT / "tests" / "ops" / "scoring").glob("test_*.py")}
    assert {f"test_{name}" for name in files.difference(NO_OPERATION)} <= tested


def test_files_say_what_they_hold_and_stay_readable():
    for path in FILES:
        assert ast.get_docstring(tree_of(path)), f"{path}: expected a docstring"
        assert len(path.read_text().splitlines()) <= 450, path


def test_a_room_that_lacks_a_library_is_not_said_to_be_missing(monkeypatch):
    monkeypatch.delitem(sys.modules, "pps_torch.env", raising=False)
    monkeypatch.delitem(sys.modules, "pps_torch.io.workers", raising=False)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ModuleNotFoundError, match="tqdm"):
        pps_torch.__getattr__("env")
    with pytest.raises(AttributeError, match="'pps_torch' has no attribute 'enviroment'"):
        pps_torch.enviroment  # noqa: B018


@pytest.mark.slow
def test_import_loads_nothing_heavier_than_torch():
    heavy = "triton PIL pycocotools yaml torchvision detectron2 matplotlib tqdm".split()
    code = (
        "import sys, torch; before = {*sys.modules}; import pps_torch, pps_torch.cli.main;"
        f"print(*(m for m in {heavy} if m in sys.modules and m not in before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []

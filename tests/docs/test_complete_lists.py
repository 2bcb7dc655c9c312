"""The lists of the pages leave nothing out: operations, modules of io, the commands' options."""

from __future__ import annotations

import argparse
import itertools
import re
from pathlib import Path

import pytest
import yaml

import pps_torch.io
from pps_torch.cli.command_line import build_parser
from pps_torch.io.image_kinds import KINDS
from pps_torch.pipelines.evaluation_tables import IMAGE_COLUMNS, SEGMENT_COLUMNS
from pps_torch.pipelines.result_layout import results_document
from pps_torch.pipelines.running.results import IMAGES, SEGMENTS
from tests import ROOT
from tests.docs.pages import prose
from tests.golden.state_dicts import record
from tests.test_layering import ROOMS

PACKAGE = Path(pps_torch.__file__).parent
DOCS = ROOT / "docs"
RESULTS = prose(DOCS / "results.md")


def modules(room: str) -> set[str]:
    """The names of the modules of a room."""
    return {path.stem for path in (PACKAGE / room).glob("*.py")} - {"__init__"}


def first_column(text: str) -> list[str]:
    """The code in the first column of a page's tables."""
    return re.findall(r"^\| `([\w.]+)` \|", text, flags=re.M)


def test_every_operation_is_listed_with_its_twin():
    page = prose(DOCS / "api/ops.md")
    helpers = set()
    for family in ("counting", "painting", "scoring"):
        (section,) = re.findall(rf"^## .*`ops/{family}/`$(.*?)^## ", page, flags=re.M | re.S)
        listed = dict(re.findall(r"^\| `(\w+)` \|.*\| (yes|no) \|$", section, flags=re.M))
        operations, kernels = modules(f"ops/{family}"), modules(f"ops/{family}/triton")
        assert listed == {name: "yes" if name in kernels else "no" for name in operations}
        helpers |= {f"{family}/triton/{name}" for name in kernels - operations}
    assert set(re.findall(r"^\| `(\w+/triton/\w+)` \|", page, flags=re.M)) == helpers


def test_every_module_of_the_ground_floor_is_listed():
    page = (DOCS / "api/reserved.md").read_text(encoding="utf-8")
    ground_floor = list(itertools.takewhile(lambda room: room != "specs", ROOMS))
    assert re.findall(r"^::: pps_torch\.(\w+)$", page, flags=re.M) == ground_floor
    (beginning,) = re.findall(r"^\w+ modules that every room may use: .*?\.$", page, re.M | re.S)
    assert re.findall(r"`(\w+)`", beginning) == ground_floor
    (row,) = re.findall(r"^\| (\[`.*)\]\(docs/api/reserved.md\)", prose(ROOT / "README.md"), re.M)
    assert re.findall(r"`(\w+)\.py`", row) == ground_floor


def test_every_module_of_io_is_listed():
    listed = first_column(prose(DOCS / "api/io.md"))
    assert len(listed) == len(set(listed)) and set(listed) == modules("io")


def test_every_name_of_io_itself_is_listed():
    (paragraph,) = re.findall(
        r"^`from pps_torch.io import .*?(?=^$)", prose(DOCS / "api/io.md"), flags=re.M | re.S
    )
    assert set(re.findall(r"`(\w+)`", paragraph)) == {*pps_torch.io.__all__}


def described(heading: str, page: str = RESULTS, number: int = 0) -> set[str]:
    """The names in the first column of a table of a page, by how its heading begins."""
    table = re.findall(rf"^\| {re.escape(heading)}.*?(?=^$)", page, flags=re.M | re.S)[number]
    return set(
        re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in table.splitlines()[2:]))
    )


def test_every_column_of_a_table_is_explained():
    for suffix, columns in ((SEGMENTS, SEGMENT_COLUMNS), (IMAGES, IMAGE_COLUMNS)):
        assert described(f"column of `{suffix}`") == {*columns}


def test_every_key_of_results_is_explained():
    metrics = {name: metric.compute() for name, metric in record.metrics().items()}
    settings = {"BoundaryPanopticQuality": {"rules": "", "dilation_ratio": 0.02, "spec": {}}}
    document = results_document(metrics, 0, settings=settings)
    entries = document["metrics"].values()
    tables = [entry.get(key, []) for entry in entries for key in ("classes", "part_labels")]
    tables += [entry["groups"].values() for entry in entries]
    numbers = {key for table in tables for row in table for key in row}
    assert described("key | unit") == numbers
    assert described("key | what") == {*document} | {key for entry in entries for key in entry}


def test_every_key_of_a_spec_is_explained():
    page = prose(DOCS / "own_data.md").partition("## Every key of both files")[2]
    for number, kind in enumerate(("dataset", "eval")):
        files = (PACKAGE / "specs" / f"{kind}_specs").glob("*.yaml")
        keys = {key for file in files for key in yaml.safe_load(file.read_text())}
        own = {"scene_class2sid"} if kind == "dataset" else set()
        assert described("key |", page, number) == keys | own


def test_every_kind_of_image_is_listed():
    page = prose(DOCS / "commands.md")
    rows = [(k.format, k.channels, k.numbers, k.bits, k.byte_order, k.compressions) for k in KINDS]
    listed = []
    for row in re.findall(r"^\| (?:PNG|BMP|TIFF) \|.*$", page, flags=re.M):
        kind, channels, bits, order, packed = (c.strip() for c in row.strip("|").split("|"))
        numbers = "signed" if bits.startswith("signed ") else "unsigned"
        depths = tuple(map(int, bits.removeprefix("signed ").split(", ")))
        listed.append((kind, channels, numbers, depths, order, tuple(packed.split(", "))))
    assert listed == rows


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (commands,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return commands.choices


@pytest.mark.parametrize("command", parsers())
def test_every_option_of_a_command_is_listed(command):
    page = prose(DOCS / "commands.md")
    (row,) = re.findall(rf"^\| `{command}` \|.*$", page, flags=re.M)
    shared = "".join(re.findall(r"^\| `--.*$", page, flags=re.M))
    options = {word for action in parsers()[command]._actions for word in action.option_strings}
    own, common = (set(re.findall(r"--\w+", text)) for text in (row, shared))
    expected = options - {"-h", "--help"}
    assert own == expected - common
    assert common <= expected or command == "env"

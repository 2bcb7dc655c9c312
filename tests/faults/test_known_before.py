"""What can be known before the work is an error before it: afterwards only the disk can fail."""

from __future__ import annotations

import csv
import os

import pytest

from pps_torch.cli.main import main
from pps_torch.pipelines.evaluation_tables import text_of_cell
from pps_torch.pipelines.running.options import RunOptions
from tests.cli.small_dataset import BUILDING, CAR, ROAD, SmallDataset, edit_json
from tests.processes import run_python

WRITING = ("merge_to_panoptic", "merge_to_pps", "eval_partpq", "eval_pq", "visualize")


@pytest.fixture
def dataset(tmp_path) -> SmallDataset:
    return SmallDataset(tmp_path / "dataset")


@pytest.fixture
def begun(monkeypatch) -> list[str]:
    """The steps of work that were begun."""
    steps: list[str] = []
    map_images = RunOptions.map_images

    def note(self, function, items, description, *more):
        steps.append(description)
        return map_images(self, function, items, description, *more)

    monkeypatch.setattr(RunOptions, "map_images", note)
    return steps


def a_file_above(dataset):
    (dataset.folder / "file").touch()
    return dataset.folder / "file" / "output"


def a_file(dataset):
    (dataset.folder / "output").touch()
    return dataset.folder / "output"


def a_link_to_itself(dataset):
    os.symlink("output", dataset.folder / "output")
    return dataset.folder / "output"


def a_link_to_nowhere_above(dataset):
    os.symlink("/proc/nothing/x", dataset.folder / "link")
    return dataset.folder / "link" / "output"


def a_folder_of_the_kernel(dataset):
    return type(dataset.folder)("/proc/self/output")


def too_long_a_name(dataset):
    return dataset.folder / ("n" * 256)


OUTPUTS = [a_file_above, a_file, a_link_to_itself, a_link_to_nowhere_above]
OUTPUTS += [a_folder_of_the_kernel, too_long_a_name]


@pytest.mark.parametrize("make", OUTPUTS)
@pytest.mark.parametrize("tool", WRITING)
def test_an_output_folder_that_cannot_be(dataset, begun, capsys, tool, make):
    dataset.output = make(dataset)
    assert main([*dataset.arguments(tool), "--overwrite"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1, message
    assert str(dataset.folder) in message or "/proc/" in message
    assert begun == []


@pytest.mark.parametrize("make", [a_file_above, a_folder_of_the_kernel, too_long_a_name])
def test_a_file_that_cannot_be_written(dataset, begun, capsys, make):
    assert dataset.run("eval_pq", "--tables") == 0
    begun.clear()
    tables, output = dataset.output / "pq_tables.json", make(SmallDataset(dataset.folder / "x"))
    for words in (
        ["report", tables, output],
        ["prepare_data", dataset.gt, output, "Cityscapes"],
    ):
        assert main([*map(str, words), "--overwrite", "--quiet"]) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1, message
    assert begun == []


@pytest.mark.parametrize("length", [200, 224, 240, 251, 252, 300])
@pytest.mark.parametrize("tool", ["merge_to_panoptic", "merge_to_pps"])
def test_long_names(dataset, begun, capsys, tool, length):
    """251 characters and `.png` fit into 255."""
    name = "n" * length + ".jpg"
    edit_json(dataset.images_json, lambda content: content["images"][1].update(file_name=name))
    assert dataset.run(tool) == (0 if length <= 251 else 2)
    message = capsys.readouterr().err
    assert (begun == []) == (length > 251)
    assert not message or "File name too long" in message and message.count("\n") == 1
    assert not list(dataset.output.rglob("*_tmp"))


HOSTILE = [
    "=HYPERLINK(1)",
    "+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(1)",
    "'quoted",
    "a\nerror: b",
    "\x1b[31mred",
    "\u202eright to left",
    "\ttab",
    "車",
    'comma, "quotes"',
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "{{ 7 * 7 }}",
]


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 3))
def test_hostile_names_of_classes(dataset, capsys, first):
    """They neither steer a terminal nor a spreadsheet nor a browser, and are read back."""
    names = dict(zip((CAR, ROAD, BUILDING), HOSTILE[first : first + 3]))

    def edit(content):
        for category in content["categories"]:
            category["name"] = names.get(category["id"], "other")

    edit_json(dataset.panoptic_json, edit)
    words = [word for word in dataset.arguments("eval_pq") if word != "--quiet"]
    assert main([*words, "--tables"]) == 0
    shown = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in shown)
    for name in names.values():
        rows = [line for line in shown.splitlines() if name[-4:].strip() in line]
        (row,) = [line for line in rows if "100.0" in line]
        assert row.split()[-1]

    with (dataset.output / "pq_segments.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for category_id, name in names.items():
        cells = {row["class"] for row in rows if row["class_id"] == str(category_id)}
        assert {text_of_cell(cell) for cell in cells} == {name}
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)

    page = dataset.folder / "a.html"
    assert main(["report", str(dataset.output), str(page), "--quiet"]) == 0
    assert "<script>alert" not in page.read_text(encoding="utf-8")


def test_a_warning_is_one_line(dataset, capsys):
    RunOptions().warn("class a\n\x1b[31mb")
    assert capsys.readouterr().err == "warning: class a\\n\\x1b[31mb\n"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_a_terminal_cannot_show(dataset, encoding):
    def edit(content):
        content["categories"][0]["name"] = "車 é \u202e"

    edit_json(dataset.panoptic_json, edit)
    words = dataset.arguments("eval_pq")
    code = f"import sys; sys.stdout.reconfigure(encoding={encoding!r}); "
    code += "from pps_torch.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = run_python("-c", code, *words, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert "100.0" in done.stdout

"""Files as other tools, systems and languages write them give the numbers of the usual ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pps_torch.pipelines import RunOptions, eval_pq, report, visualize
from tests import ROOT
from tests.cli.small_dataset import BUILDING, CAR, ROAD, SmallDataset, edit_json, save

OPTIONS = RunOptions(device="cpu", workers=1, quiet=True, overwrite=True)


@pytest.fixture
def dataset(tmp_path) -> SmallDataset:
    return SmallDataset(tmp_path)


def with_points(value):
    """Each integer as a float, 300.0."""
    if isinstance(value, dict):
        return {key: with_points(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_points(entry) for entry in value]
    return float(value) if type(value) is int else value


def for_windows(d):
    for path in (d.panoptic_dir, d.instances_txt):
        (path / "sub").mkdir()
        for file in path.glob("*.png"):
            file.rename(path / "sub" / file.name)
    edit_json(
        d.panoptic_json,
        lambda c: [a.update(file_name="sub\\" + a["file_name"]) for a in c["annotations"]],
    )
    for text in d.instances_txt.glob("*.txt"):
        text.write_text("".join(f"sub\\{line}\r\n" for line in text.read_text().splitlines()))


def all_with_points(d):
    for path in (d.panoptic_json, d.images_json, d.instances_json):
        path.write_text(json.dumps(with_points(json.loads(path.read_text()))))


def crowd_null(d):
    edit_json(
        d.panoptic_json,
        lambda c: [s.update(iscrowd=None) for a in c["annotations"] for s in a["segments_info"]],
    )


@pytest.mark.parametrize(
    ("change", "tools"),
    [
        (all_with_points, ("merge_to_panoptic", "merge_to_pps", "eval_partpq", "eval_pq")),
        (for_windows, ("merge_to_panoptic Cityscapes", "merge_to_pps", "eval_pq")),
        (crowd_null, ("eval_pq", "merge_to_pps")),
    ],
)
def test_the_output_is_that_of_the_usual_files(tmp_path, change, tools):
    for tool in tools:
        usual, unusual = SmallDataset(tmp_path / tool / "a"), SmallDataset(tmp_path / tool / "b")
        change(unusual)
        assert usual.run(tool) == unusual.run(tool) == 0
        first, second = (d.written() for d in (usual, unusual))
        for written in (first, second):
            written.pop("panoptic.json", None)  # repeats the entries of the list as they are
        assert first == second and first


def pq_of(d, gt, pred, folder):
    return eval_pq(gt, pred, gt_folder=d.panoptic_dir, pred_folder=folder, options=OPTIONS)


def test_predictions_numbered_from_0(dataset):
    """Segment 1, the car, is called 0; it counts as before, as in panopticapi."""
    content = json.loads(dataset.panoptic_json.read_text())
    folder, path = dataset.folder / "zero", dataset.folder / "zero.json"
    folder.mkdir()
    for annotation in content["annotations"]:
        annotation["segments_info"][0]["id"] = 0
        rgb = np.array(Image.open(dataset.panoptic_dir / annotation["file_name"]))
        rgb[rgb == 1] = 0
        save(folder / annotation["file_name"], rgb)
    path.write_text(json.dumps(content))
    result = pq_of(dataset, dataset.panoptic_json, path, folder)
    assert result.all.pq == 1 and result.classes[CAR].tp == 3
    with pytest.raises(ValueError, match="segment 0: expected an id 1.*, as 0 is void"):
        pq_of(dataset, path, dataset.panoptic_json, dataset.panoptic_dir)


COLORS = {CAR: "#00008e", ROAD: [0.5, 0.25, 0.5, 1.0], BUILDING: "rubbish"}


def test_colors_as_people_have_them(dataset, tmp_path):
    """The tables, the report and the pictures read them at once, and say which they leave out."""
    pytest.importorskip("jinja2")
    edit_json(
        dataset.panoptic_json, lambda c: [x.update(color=COLORS[x["id"]]) for x in c["categories"]]
    )
    files, save_dir = (dataset.panoptic_json,) * 2, tmp_path / "results"
    with pytest.warns(UserWarning, match=r"left out that of building \("):
        eval_pq(
            *files,
            gt_folder=dataset.panoptic_dir,
            pred_folder=dataset.panoptic_dir,
            save_dir=save_dir,
            tables=True,
            options=OPTIONS,
        )
        page = report(save_dir, tmp_path / "a.html", options=OPTIONS).read_text()
        visualize(
            *(dataset.panoptic_json, dataset.panoptic_dir, tmp_path / "pictures"),
            panoptic_json=dataset.panoptic_json,
            options=OPTIONS,
        )
    assert "background:#00008e" in page and "background:#804080" in page
    picture = np.array(Image.open(next((tmp_path / "pictures").glob("*_colored.png"))))
    assert picture[18, 1].tolist() == [128, 64, 128]


def name_in_any_language(dataset):
    names = {CAR: "自転車", ROAD: "дорога", BUILDING: "bâtiment"}
    edit_json(
        dataset.panoptic_json, lambda c: [x.update(name=names[x["id"]]) for x in c["categories"]]
    )


def test_names_in_any_language(dataset, capsys):
    name_in_any_language(dataset)
    assert dataset.run("eval_pq") == 0
    printed = capsys.readouterr().out
    assert "自転車" in printed and "дорога" in printed and "bâtiment" in printed


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_names_in_any_language_on_any_terminal(dataset, encoding):
    name_in_any_language(dataset)
    environment = {
        **os.environ,
        **{"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding, "LC_ALL": "C"},
    }
    words = [sys.executable, "-X", "utf8=0", "-m", "pps_torch", *dataset.arguments("eval_pq")]
    run = subprocess.run(words, env=environment, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    shown = "自転車" if encoding == "utf-8" else "\\u81ea\\u8ee2\\u8eca"
    assert shown in run.stdout.decode(encoding)
    assert ("bâtiment" in run.stdout.decode(encoding)) == (encoding != "ascii")

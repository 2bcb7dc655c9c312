"""The tables of the evaluators are those of the commands, and the report works on them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden import cases

pytest.importorskip("detectron2", reason="needs Detectron2")

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2 import PanopticQualityEvaluator, PartPanopticEvaluator
from pps_torch.integrations.detectron2.data.metadata import pps_metadata
from pps_torch.io.errors import InputError
from pps_torch.pipelines import RunOptions, Tables, eval_partpq, eval_pq, report
from pps_torch.pipelines.html_report.summary import group_rows
from tests.integrations.detectron2.coco_set import CocoSet, register
from tests.processes import in_processes

OPTIONS = RunOptions(device="cpu", quiet=True)
PARTS = cases.ROOT / "partpq" / "cpp_default"


class PartSet:
    """The golden images of cpp_default, registered; `with_files` or as tensors."""

    def __init__(self, with_files: bool = True) -> None:
        self.inputs, self.outputs = [], []
        for name, pps, uids, _ in cases.part_pq_images("cpp_default"):
            key, value = "pps_gt", torch.from_numpy(uids)
            if with_files:
                key, value = "pps_file_name", str(PARTS / f"{name}_uids.tif")
            self.inputs.append({"image_id": name, key: value})
            self.outputs.append({"pps": torch.from_numpy(np.ascontiguousarray(pps))})
        metadata = pps_metadata(EvalSpec.load("cpp_default"), "cpp_default")
        self.name = register("pps_test_part_tables", self.inputs, **metadata)

    def images_json(self, path: Path) -> Path:
        images = [
            {
                "id": image["image_id"],
                "file_name": f"{image['image_id']}.png",
                "height": output["pps"].shape[1],
                "width": output["pps"].shape[2],
            }
            for image, output in zip(self.inputs, self.outputs)
        ]
        path.write_text(json.dumps({"images": images}))
        return path


def run(evaluator, images, chosen):
    for index in chosen:
        evaluator.process([images.inputs[index]], [images.outputs[index]])
    return evaluator.evaluate()


def contents(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    found = [p for p in folder.rglob(pattern) if p.is_file() and not p.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def unsealed(content: bytes) -> bytes:
    """Without the hash of tables, which differs with the folders that they name."""
    return re.sub(rb'^{"sha256": "\w+"', b"{", content)


def articles(path: Path) -> int:
    return path.read_text().count('<article class="image"')


def test_part_tables_are_those_of_eval_partpq(tmp_path):
    pytest.importorskip("jinja2", reason="the report needs jinja2")
    images, found, expected = PartSet(), tmp_path / "found", tmp_path / "expected"
    evaluator = PartPanopticEvaluator(images.name, str(found), tables=True)
    scores = run(evaluator, images, range(len(images.inputs)))["part_panoptic_seg"]
    images_json = images.images_json(tmp_path / "images.json")
    arguments = ["cpp_default", PARTS, found / "pps", images_json]
    eval_partpq(*arguments, save_dir=expected, tables=True, options=OPTIONS)
    written, commands = contents(found, "cpp_default_*"), contents(expected)
    ours, theirs = (json.loads(c.pop("cpp_default_tables.json")) for c in (written, commands))
    assert ours.pop("sha256") != theirs.pop("sha256"), "of other inputs"
    assert theirs["inputs"].pop("images_json") == str(images_json)
    assert ours == theirs and written == commands and len(commands) == 3

    page = report(found, tmp_path / "report.html", options=OPTIONS)
    assert articles(page) == len(images.inputs)
    (everything, *_) = group_rows(Tables.load(found))
    for key in ("PartPQ", "PartSQ", "PartRQ", "PQ", "SQ", "RQ"):
        assert 100 * everything[key] == scores[key], key
    assert everything["RQ"] != everything["PartRQ"], "PQ keeps what has no part labels"


def test_panoptic_tables_are_those_of_eval_pq(tmp_path):
    pytest.importorskip("jinja2", reason="the report needs jinja2")
    coco = CocoSet(tmp_path, 6)
    name, found, expected = coco.register("pps_test_tables"), tmp_path / "f", tmp_path / "expected"
    # Detectron2 lists a segment without pixels where a setting allows it.
    coco.outputs[0]["panoptic_seg"][1].insert(0, {"id": 99, "category_id": 0, "isthing": True})
    scores = run(PanopticQualityEvaluator(name, str(found), tables=True), coco, range(6))
    assert scores == run(PanopticQualityEvaluator(name), coco, range(6))
    eval_pq(
        *(tmp_path / "gt.json", found / "panoptic.json"),
        save_dir=expected,
        tables=True,
        options=OPTIONS,
    )
    assert contents(found, "pq_*") == contents(expected) and len(contents(expected)) == 4
    assert articles(report(found, tmp_path / "report.html", options=OPTIONS)) == 6


def test_without_files_of_ground_truth_the_page_has_no_pictures(tmp_path, capsys):
    pytest.importorskip("jinja2", reason="the report needs jinja2")
    images = PartSet(with_files=False)
    run(PartPanopticEvaluator(images.name, str(tmp_path), tables=True), images, range(2))
    assert articles(report(tmp_path, tmp_path / "a.html", options=OPTIONS)) == 0
    assert "no pictures: the ground truth was evaluated without files" in capsys.readouterr().err
    page = report(tmp_path, tmp_path / "b.html", gt=PARTS, options=OPTIONS)
    assert articles(page) == 2 and not capsys.readouterr().err


def test_a_second_evaluation_replaces_the_first(tmp_path):
    images = PartSet()
    evaluator = PartPanopticEvaluator(images.name, str(tmp_path), tables=True)
    run(evaluator, images, range(3))
    evaluator.reset()
    run(evaluator, images, [4, 1])
    tables = Tables.load(tmp_path)
    assert list(tables.images) == ["1", "4"]
    assert sorted(contents(tmp_path / "pps")) == ["1.png", "4.png"]
    run(PartPanopticEvaluator(images.name, str(tmp_path)), images, [2])
    assert list(contents(tmp_path)) == ["part_panoptic_quality.json"]


def test_a_second_evaluation_of_panoptic_maps_replaces_the_first(tmp_path):
    coco, out = CocoSet(tmp_path, 3), tmp_path / "out"
    name = coco.register("pps_test_tables")
    run(PanopticQualityEvaluator(name, str(out), tables=True), coco, range(3))
    run(PanopticQualityEvaluator(name, str(out), tables=True), coco, [1])
    assert list(contents(out / "panoptic")) == ["000000000001.png"]
    run(PanopticQualityEvaluator(name, str(out)), coco, range(3))
    assert list(contents(out)) == ["panoptic_quality.json"]


SHARES = {"padded": ([0, 2, 4], [1, 3, 0]), "one has none": ([], range(5))}


def run_shares(rank: int, folder: Path) -> None:
    images = PartSet()
    coco = CocoSet(folder / str(rank), 5)
    name = coco.register("pps_test_tables")
    for share_name, shares in SHARES.items():
        out = str(folder / share_name)
        run(PartPanopticEvaluator(images.name, out, tables=True), images, shares[rank])
        run(PanopticQualityEvaluator(name, out, tables=True), coco, shares[rank])


def test_two_processes_write_what_one_writes(tmp_path):
    for name in ("0", "1"):
        (tmp_path / name).mkdir()
    in_processes(2, run_shares, tmp_path)
    images, coco = PartSet(), CocoSet(tmp_path, 5)
    # The second process has a copy of the ground truth; the first one names its own.
    fields = {"panoptic_json": "0/gt.json", "panoptic_root": "0/gt"}
    fields = {key: str(tmp_path / value) for key, value in fields.items()}
    name, out = coco.register("pps_test_tables", **fields), tmp_path / "single"
    run(PartPanopticEvaluator(images.name, str(out), tables=True), images, range(5))
    run(PanopticQualityEvaluator(name, str(out), tables=True), coco, range(5))
    expected = contents(out)
    for share_name in SHARES:
        found = contents(tmp_path / share_name)
        assert found.keys() == expected.keys() and len(found) == 2 * 5 + 2 * 5 + 1
        for file, content in found.items():
            moved = content.replace(str(tmp_path / share_name).encode(), str(out).encode())
            assert unsealed(moved) == unsealed(expected[file]), (share_name, file)


def test_refusals(tmp_path):
    images = PartSet()
    coco = CocoSet(tmp_path, 1)
    for evaluator, name in (
        (PartPanopticEvaluator, images.name),
        (PanopticQualityEvaluator, coco.register("pps_test_tables")),
    ):
        with pytest.raises(InputError, match="tables: expected output_dir"):
            evaluator(name, tables=True)
    evaluator = PartPanopticEvaluator(images.name, str(tmp_path / "out"), tables=True)
    pps = images.outputs[0]["pps"].int()
    pps[1, 0, 0] = 300
    with pytest.raises(InputError, match=r"image \w+: outputs: pps: expected ids 0..255"):
        evaluator.process([images.inputs[0]], [{"pps": pps}])
    run(evaluator, images, range(2))
    assert len(Tables.load(tmp_path / "out").images) == 2, "the refused map left nothing behind"
    metadata = pps_metadata(EvalSpec.load("cpp_default"), "cpp_default")
    name = register("pps_test_paths", [{"image_id": "/data/a.jpg"}], **metadata)
    PartPanopticEvaluator(name, str(tmp_path))
    with pytest.raises(InputError, match="tables need names of files, found '/data/a.jpg'"):
        PartPanopticEvaluator(name, str(tmp_path), tables=True)


def test_a_bad_image_is_named_as_without_tables(tmp_path):
    coco = CocoSet(tmp_path, 2)
    name = coco.register("pps_test_tables")
    coco.outputs[1]["panoptic_seg"][0][0, 0] = 12345
    for options in ({}, {"output_dir": str(tmp_path / "out"), "tables": True}):
        with pytest.raises(InputError, match="image 1: .* 1 pixels of pred with a segment id"):
            run(PanopticQualityEvaluator(name, **options), coco, range(2))
    assert not (tmp_path / "out").exists()

"""The tables that an evaluation writes: their sums are its result; what is refused."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch.cli.main import main
from pps_torch.io.errors import InputError
from pps_torch.metrics import PartPanopticQuality, counts_by_class
from pps_torch.pipelines import Tables, eval_pq
from pps_torch.pipelines.html_report.summary import class_rows, group_rows
from pps_torch.specs import EvalSpec
from pps_torch.synthetic.street_files import StreetFolders, write_streets
from tests.cli.small_dataset import edit_sealed
from tests.pipelines.html_report.report_scene import (
    CAR,
    OPTIONS,
    PERSON,
    ROAD,
    SKY,
    ReportScene,
)


@pytest.fixture
def scene(tmp_path):
    return ReportScene(tmp_path)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_sums_of_the_csv_are_the_result(scene):
    result = scene.evaluate()
    rows = rows_of(scene.save_dir / "cpp_default_segments.csv")
    ious, counts = Counter(), Counter()
    for row in rows:
        sid = int(row["class_id"])
        if (row["map"], row["verdict"]) in {("gt", "tp"), ("gt", "fn"), ("pred", "fp")}:
            counts[sid, row["verdict"]] += 1
        if (row["map"], row["verdict"]) == ("gt", "tp"):
            ious[sid] += int(float(row["part_iou"]) * 2**60)
    for sid, expected in result.per_class.items():
        assert ious[sid] / 2**60 == expected["iou"]
        assert [counts[sid, v] for v in ("tp", "fp", "fn")] == [
            expected[v] for v in ("tp", "fp", "fn")
        ]
    images = rows_of(scene.save_dir / "cpp_default_images.csv")
    assert [row["image_id"] for row in images] == ["a_1", "b_2"]
    for verdict in ("tp", "fp", "fn"):
        total = sum(row[verdict] for row in result.per_class.values())
        assert sum(int(row[verdict]) for row in images) == total
    assert float(images[0]["quality"]) == 1.0


def test_what_the_rows_say(scene):
    scene.evaluate()
    found = {
        (row["map"], row["class"], row["instance"]): row
        for row in rows_of(scene.save_dir / "cpp_default_segments.csv")
        if row["image_id"] == "b_2"
    }
    assert {key: row["verdict"] for key, row in found.items() if key[1] in ("car", "person")} == {
        ("gt", "car", "1"): "tp",
        ("gt", "car", "2"): "fn",
        ("gt", "person", ""): "crowd",
        ("pred", "car", "5"): "tp",
        ("pred", "person", "1"): "fp",
        ("pred", "person", "2"): "ignored",
        ("pred", "person", "3"): "fp",
    }
    car = found["gt", "car", "1"]
    # Windows are missed; half of the predicted wheels are right; the background is right.
    assert car["part_ious"] == "0:1.0 1:0.0 2:0.5" and car["part_iou"] == "0.5"
    assert (car["iou"], car["area"], car["taken_for"]) == ("1.0", "200", "car")
    taken_for = {key: (row["taken_for_id"], row["taken_for"]) for key, row in found.items()}
    assert taken_for["gt", "car", "2"] == (str(PERSON), "person")
    assert taken_for["pred", "person", "3"] == (str(SKY), "sky")
    assert all((number == "") == (name == "") for number, name in taken_for.values())


def test_tables_come_back_as_they_were(scene):
    result = scene.evaluate()
    tables = Tables.load(scene.save_dir)
    assert tables.metric == "PartPQ" and tables.result == result.as_dict()
    assert tables.inputs == {
        "eval_spec": "cpp_default",
        "gt_dir": str(scene.gt),
        "pred_dir": str(scene.pred),
        "images_json": str(scene.images_json),
    }
    segments = [segment for image in tables.images.values() for segment in image]
    counts = counts_by_class(segments, part_aware=True)
    for sid, expected in result.per_class.items():
        if sid in counts:
            assert counts[sid]._asdict() == {k: expected[k] for k in ("iou", "tp", "fp", "fn")}
    place = {info.id: index for index, info in enumerate(tables.classes)}
    assert tables.confused_pixels[place[CAR], place[PERSON]] == 200
    # Rows hold all ground truth but the crowd (150) and void (4 columns of 40).
    assert tables.confused_pixels.sum() == 2 * 40 * 80 - 150 - 4 * 40


def test_pq_of_a_part_aware_evaluation_is_pq(scene):
    """Car 3 has no part labels: crowd for PartPQ, found for PQ."""
    uids, pps = scene.wrong()
    uids[5:15, 10:30] = CAR * 1000 + 3
    pps[:, 5:15, 10:30] = np.array([CAR, 9, 1])[:, None, None]
    Image.fromarray(uids.astype(np.int32)).save(scene.gt / "b_2_gt.tif")
    Image.fromarray(pps.transpose(1, 2, 0).astype(np.uint8)).save(scene.pred / "b_2.png")
    scene.evaluate()
    tables = Tables.load(scene.save_dir)
    # Of PartPQ car 1 is found, with an IoU of its parts of 1 / 2, and car 2 is missed.
    part_pq, pq = (counts[CAR] for counts in tables.class_counts.values())
    assert (tuple(part_pq), tuple(pq)) == ((0.5, 1, 0, 1), (2.0, 2, 0, 1))
    cars = next(row for row in class_rows(tables) if row.info.id == CAR)
    assert (cars.qualities["PartRQ"], cars.qualities["RQ"]) == (1 / 1.5, 2 / 2.5)
    assert (cars.tp, cars.fp, cars.fn) == (1, 0, 1)
    whole = PartPanopticQuality(EvalSpec.load("cpp_default").without_parts())
    for gt, pred in (scene.right(), (uids, pps)):
        whole.update(torch.from_numpy(pred), torch.from_numpy(gt))
    found = {row["label"]: row for row in group_rows(tables)}["All classes"]
    assert found["PQ"] == whole.compute().summary["PartPQ"]


def test_a_class_that_only_pq_counts_has_no_part_pq(scene):
    uids, pps = scene.right()
    uids[5:15, 10:30] = CAR * 1000 + 3
    Image.fromarray(uids.astype(np.int32)).save(scene.gt / "a_1_gt.tif")
    images = json.loads(scene.images_json.read_text())["images"]
    scene.images_json.write_text(json.dumps({"images": images[:1]}))
    scene.evaluate()
    rows = {row.info.id: row for row in class_rows(Tables.load(scene.save_dir))}
    assert rows[CAR].qualities == {"PQ": 0, "SQ": 0, "RQ": 0} and rows[CAR].fn == 0
    assert list(rows[ROAD].qualities) == ["PartPQ", "PartSQ", "PartRQ", "PQ", "SQ", "RQ"]


def test_any_number_of_workers_writes_the_same(scene):
    scene.evaluate()
    first = {path.name: path.read_bytes() for path in scene.save_dir.iterdir()}
    scene.evaluate(options=replace(OPTIONS, workers=1, overwrite=True))
    assert {path.name: path.read_bytes() for path in scene.save_dir.iterdir()} == first


def test_panoptic_tables(tmp_path):
    folders = StreetFolders(tmp_path / "streets")
    write_streets(folders, EvalSpec.load("cpp_default"), (96, 192), 2)
    gt = folders.gt_panoptic_json
    result = eval_pq(gt, gt, save_dir=tmp_path, tables=True, options=OPTIONS)
    tables = Tables.load(tmp_path / "pq_tables.json")
    segments = [segment for image in tables.images.values() for segment in image]
    counts = counts_by_class(segments, part_aware=False)
    assert counts and not tables.part_aware
    for category_id, count in counts.items():
        expected = result.per_class[category_id]
        assert count._asdict() == {key: expected[key] for key in ("iou", "tp", "fp", "fn")}
    (first, *_) = rows_of(tmp_path / "pq_segments.csv")
    assert (first["verdict"], first["iou"], first["part_iou"], first["instance"]) == (
        *("tp", "1.0"),
        *("", ""),
    )


def test_refusals(scene, tmp_path, capsys):
    arguments = ["cpp_default", scene.gt, scene.pred, scene.images_json, "--tables"]
    assert main(["eval_partpq", *map(str, arguments)]) == 2
    assert "--save_dir: expected the folder that the tables go to" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"expected one file \*_tables.json, found none"):
        Tables.load(scene.folder)
    scene.evaluate()
    with pytest.raises(InputError, match="already exists"):
        scene.evaluate()
    path = scene.save_dir / "cpp_default_tables.json"
    content = json.loads(path.read_text())
    for key, value in (("tables_version", 99), ("classes", [{}]), ("images", 3)):
        changed = tmp_path / f"{key}_tables.json"
        changed.write_text(json.dumps({**content, key: value}))
        with pytest.raises(InputError, match=str(changed)):
            Tables.load(changed)
        edit_sealed(path, lambda tables: tables.update({key: value}), changed)  # noqa: B023
        with pytest.raises(InputError, match=str(changed)):
            Tables.load(changed)
    (scene.save_dir / "other_tables.json").write_text(path.read_text())
    with pytest.raises(InputError, match="found cpp_default_tables.json, other_tables.json"):
        Tables.load(scene.save_dir)

"""Images of any number of segments: `eval_partpq` and `report` take what files hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, PartPanopticQuality
from pps_torch.io.errors import InputError
from pps_torch.io.images import write_id_map
from pps_torch.io.writers import write_pps
from pps_torch.pipelines import RunOptions, eval_partpq, part_maps, report
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.part_maps import distinct_values, needed_capacity, with_capacity
from tests.oracles.part_panoptic_quality import part_panoptic_quality as slow_quality

OPTIONS = RunOptions(device="cpu", quiet=True)
ROWS, COLUMNS, CELL = 50, 60, 4
NUM_SEGMENTS = ROWS * COLUMNS
CLASSES = [
    {"id": sid, "name": f"cell {sid}", "isthing": 1, "parts": ["membrane", "nucleus"] * (sid > 1)}
    for sid in (1, 2, 3, 4)
]
SPEC, CPP = EvalSpec.from_classes(CLASSES), EvalSpec.load("cpp_default")


class Cells:
    """Files of one image of 3,000 cells of four classes, 750 each; three of them have parts.

    A cell has a column of membrane and three of nucleus. In the prediction some cells have another
    class, or are void, and some pixels another part; instances are numbered from `first` on.
    """

    def __init__(self, folder, form: str, first: int) -> None:
        rng = np.random.default_rng(0)
        cells = np.arange(NUM_SEGMENTS).reshape(ROWS, COLUMNS).repeat(CELL, 0).repeat(CELL, 1)
        sids, iids = cells % 4 + 1, cells // 4
        parts = np.where(np.arange(COLUMNS * CELL) % CELL, 2, 1) + np.zeros_like(cells)
        self.uids = np.where(sids > 1, sids * 100_000 + iids * 100 + parts, sids * 1000 + iids)
        is_crowd, is_void, is_mistaken = (rng.random((3, NUM_SEGMENTS)) < 0.005)[:, cells]
        self.uids = np.where(is_crowd, sids, self.uids)
        sids = np.where(is_mistaken, sids % 4 + 1, sids)
        parts = np.where(rng.random(parts.shape) < 0.1, 3 - parts, parts)
        pps = np.stack([sids, iids + first, np.where(sids > 1, parts, 1)])
        self.pps = np.where(is_void, np.array([255, 0, 255])[:, None, None], pps)

        gt, pred, self.save_dir = folder / "gt", folder / "pred", folder / "scores"
        self.spec, images_json = folder / "cells_evalspec.yaml", folder / "images.json"
        gt.mkdir()
        SPEC.save(self.spec)
        write_id_map(gt / "1.tif", self.uids)
        ending = ".npz" if form == "npz" else ".png"
        write_pps(pred / f"1{ending}", torch.from_numpy(self.pps), form=form)
        size = {"height": ROWS * CELL, "width": COLUMNS * CELL}
        images = [{"id": 1, "file_name": "1.jpg", **size}]
        images_json.write_text(json.dumps({"images": images}))
        self.files = self.spec, gt, pred, images_json

    def evaluate(self, **settings):
        return eval_partpq(*self.files, self.save_dir, options=OPTIONS, **settings)


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[int, list]:
    cells = Cells(tmp_path_factory.mktemp("cells"), "png16", 1)
    return slow_quality(cells.pps, cells.uids, SPEC)


@pytest.mark.parametrize("metrics", [(), ("mIoU", "PartIoU")])
@pytest.mark.parametrize(("form", "first"), [("png16", 1), ("npz", 2000)])
def test_3000_segments_with_parts_as_the_oracle(form, first, metrics, expected, tmp_path):
    cells = Cells(tmp_path, form, first)
    result = cells.evaluate(tables=True, metrics=metrics)
    for sid, (iou, *counts) in expected.items():
        found = result.classes[sid]
        assert [found.tp, found.fp, found.fn] == counts and min(counts) > 0, sid
        assert found.iou_sum == pytest.approx(iou, abs=1e-9)
    metric = PartPanopticQuality(SPEC, capacity=first + NUM_SEGMENTS)
    metric.update(torch.from_numpy(cells.pps), torch.from_numpy(cells.uids))
    assert metric.compute() == result, "to the bit"

    (segments,) = Tables.load(cells.save_dir).images.values()
    predicted = {(s.class_id, s.instance) for s in segments if not s.is_gt}
    sids, iids, _ = cells.pps[:, cells.pps[0] != 255]
    assert predicted == {*zip(sids.tolist(), iids.tolist())}
    pytest.importorskip("jinja2", reason="the report needs jinja2")
    page = report(cells.save_dir, tmp_path / "page.html", options=OPTIONS).read_text()
    assert page.count('<article class="image"') == 1


def test_many_segments_without_tables(expected, tmp_path):
    """Maps, of which the IoU of parts is counted, in place of distinct pixels."""
    result = Cells(tmp_path, "png16", 1).evaluate(metrics=("PartIoU",))
    assert [result.classes[sid].tp for sid in expected] == [row[1] for row in expected.values()]


def test_instances_that_no_capacity_holds_are_an_error(tmp_path):
    cells = Cells(tmp_path, "npz", 65_000)
    error = r"image 1 .*pred.1\.npz\): pred: expected instance ids up to 65535, found 65749; number"
    with pytest.raises(InputError, match=error):
        cells.evaluate()
    assert not cells.save_dir.exists() or not [*cells.save_dir.glob("*.json")]


@pytest.mark.parametrize(
    ("uids", "pps", "expected"),
    [
        ([7, 7], [[7, 0, 1], [7, 0, 1]], 999),  # what uids may hold
        ([7, 7], [[7, 5000, 1], [7, 0, 1]], 5000),
        ([7, 7], [[255, 2**31 - 1, 1], [7, 0, 1]], 999),  # void has no instances
        # The segments of the ground truth, whose parts do not count.
        (range(7000, 9000), [[7, 0, 1]] * 2000, 2000),
        (range(2_600_000, 2_602_000), [[7, 0, 1]] * 2000, 999),
        # Not what is not evaluated, no class, or no uid.
        (range(9000, 11_000), [[7, 0, 1]] * 2000, 999),
        (range(90_000, 92_000), [[7, 0, 1]] * 2000, 999),
        ([*range(-2000, 0), *range(100, 1000)], [[7, 0, 1]] * 2900, 999),
        # Those of the prediction, by class and instance; not its parts and unknown classes.
        ([7] * 1200, [[sid, i, 1] for sid in (24, 26) for i in range(600)], 1200),
        ([7] * 1200, [[7, 0, i % 256] for i in range(1200)], 999),
        ([7] * 1200, [[1000 + i, 5000, 1] for i in range(1200)], 999),
    ],
)
def test_capacity_that_an_image_needs(uids, pps, expected):
    assert needed_capacity(np.array(uids, np.int32), np.array(pps, np.int32), CPP) == expected


@pytest.mark.parametrize("name", ["target", "pred"])
def test_segments_that_no_capacity_holds_are_an_error(name, monkeypatch):
    monkeypatch.setattr(part_maps, "highest_capacity", lambda spec: 1500)
    image = {
        "target": np.arange(7000, 8600),
        "pred": np.array([[7, i, 1] for i in range(1600)]),
    }
    few = {"target": np.full(1600, 7), "pred": np.full((1600, 3), 7)}
    error = f"{name}: expected at most 1500 segments .* a spec of 19 classes, found 1600; pieces"
    with pytest.raises(ValueError, match=error):
        needed_capacity(*{**few, name: image[name]}.values(), CPP)
    assert needed_capacity(*few.values(), CPP) == 999


def test_a_metric_that_suffices_is_taken_as_it_is():
    metric = PartPanopticQuality(SPEC, capacity=1024, validate=True)
    assert with_capacity(metric, 1024) is metric
    roomy = with_capacity(metric, 1025)
    assert (roomy.spec, roomy.capacity, roomy.validate) == (SPEC, 1025, True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_distinct_values(dtype):
    uids = np.array([[7, 7, 8], [7, 8, 8]])
    pps = np.array([[[7, 0, 1], [7, 0, 1], [8, 0, 1]], [[9, 3, 2], [8, 0, 1], [7, 0, 1]]], dtype)
    found = [column.tolist() for column in distinct_values(uids, pps)]
    assert sorted(zip(*found)) == [
        (7, [7, 0, 1], 2),
        (7, [9, 3, 2], 1),
        (8, [7, 0, 1], 1),
        (8, [8, 0, 1], 2),
    ]

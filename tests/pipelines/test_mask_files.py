"""PQ of masks in a JSON is that of the same maps as PNGs, to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pps_torch.io.coco_panoptic import PanopticFile
from pps_torch.io.errors import InputError
from pps_torch.io.images import read_rgb_ids
from pps_torch.pipelines import RunOptions, eval_pq, report
from tests.cli.small_dataset import edit_json

GOLDEN = Path(__file__).parents[1] / "golden" / "pq"
OPTIONS = RunOptions(device="cpu", workers=2, quiet=True)


def with_masks(name: str, path: Path, *, as_results: bool = False) -> Path:
    """A panoptic file of the golden set as one with an annotation for each segment."""
    file = PanopticFile.load(GOLDEN / f"{name}.json")
    annotations, images = [], []
    for image_id, annotation in file.annotations.items():
        ids = read_rgb_ids(annotation.png)
        images.append({"id": int(image_id), "height": ids.shape[0], "width": ids.shape[1]})
        for segment in annotation.segments_info:
            rle = coco_mask.encode(np.asfortranarray(ids == segment["id"]).astype(np.uint8))
            segmentation = {**rle, "counts": rle["counts"].decode()}
            entry = {k: v for k, v in segment.items() if k in ("id", "category_id", "iscrowd")}
            annotations.append({**entry, "image_id": int(image_id), "segmentation": segmentation})
    content = {"images": images, "annotations": annotations, "categories": file.categories}
    path.write_text(json.dumps(annotations if as_results else content))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("masks")
    return (
        with_masks("gt", folder / "gt.json"),
        with_masks("pred", folder / "pred.json", as_results=True),
    )


def rows(result):
    return [(c.iou_sum, c.tp, c.fp, c.fn) for c in result.classes.values()]


@pytest.mark.parametrize("kinds", [("masks", "masks"), ("PNGs", "masks"), ("masks", "PNGs")])
def test_the_numbers_are_those_of_the_pngs(files, kinds, tmp_path):
    pngs = GOLDEN / "gt.json", GOLDEN / "pred.json"
    expected = eval_pq(*pngs, options=OPTIONS)
    chosen = [masks if kind == "masks" else png for kind, masks, png in zip(kinds, files, pngs)]
    result = eval_pq(*chosen, options=OPTIONS)
    assert rows(result) == rows(expected) and result.all == expected.all


def test_tables_metrics_and_report(files, tmp_path):
    pngs = GOLDEN / "gt.json", GOLDEN / "pred.json"
    options = {"metrics": ["mIoU", "BoundaryPQ"], "tables": True, "options": OPTIONS}
    for name, chosen in (("masks", files), ("PNGs", pngs)):
        eval_pq(*chosen, save_dir=tmp_path / name, **options)
    for table in ("pq_results.json", "pq_segments.csv", "pq_images.csv"):
        found = [(tmp_path / name / table).read_bytes() for name in ("masks", "PNGs")]
        assert found[0] == found[1]
    report(tmp_path / "masks", tmp_path / "page.html", num_images=2, options=OPTIONS)


def test_an_image_without_predicted_segments_is_missed_with_a_warning(files, tmp_path, capsys):
    results = [a for a in json.loads(files[1].read_text()) if a["image_id"] != 3]
    (tmp_path / "few.json").write_text(json.dumps(results))
    result = eval_pq(files[0], tmp_path / "few.json", options=OPTIONS)
    assert "few.json: 1 of 12 images have no segment" in capsys.readouterr().err
    assert sum(c.fn for c in result.classes.values()) > 0


def test_an_overlap_names_image_and_segments(files, tmp_path):
    path = tmp_path / "gt.json"
    path.write_bytes(files[0].read_bytes())

    def double(content):
        content["annotations"].append({**content["annotations"][0], "id": 77_777})

    edit_json(path, double)
    with pytest.raises(
        InputError, match=r"gt.json: image \d+: .* annotation 0 \(id .*\(id 77777\)"
    ):
        eval_pq(path, files[1], options=OPTIONS)


def test_an_unknown_category_and_a_folder_are_refused(files, tmp_path):
    path = tmp_path / "pred.json"
    path.write_bytes(files[1].read_bytes())
    edit_json(path, lambda content: content[0].update(category_id=4321))
    with pytest.raises(InputError, match="pred.json: image .* found 4321"):
        eval_pq(files[0], path, options=OPTIONS)
    with pytest.raises(InputError, match="gt.json: expected no folder of PNGs"):
        eval_pq(*files, gt_folder=GOLDEN / "gt", options=OPTIONS)

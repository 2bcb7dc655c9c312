"""images.json from the ground truth of a data set."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from pps_torch.io.errors import InputError
from pps_torch.io.image_list import ImageList
from pps_torch.pipelines import RunOptions, prepare_data

QUIET = RunOptions(quiet=True)
AGAIN = RunOptions(quiet=True, overwrite=True)


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((3, 5), np.int32)).save(folder / name)
    return folder


def test_cityscapes(tmp_path):
    gt = make(tmp_path / "gt", *(f"{c}/{c}_000000_000019_gtFinePanopticParts.tif" for c in "ab"))
    path = prepare_data(gt, tmp_path / "out", "Cityscapes", options=QUIET)
    assert json.loads(path.read_text())["images"] == [
        {
            "file_name": f"{city}_000000_000019_gtFine_leftImg8bit.png",
            "id": f"{city}_000000_000019",
            "width": 5,
            "height": 3,
        }
        for city in "ab"
    ]
    assert len(ImageList.load(path)) == 2


def test_long_ending(tmp_path):
    """.tiff as well as .tif, as eval_partpq takes them."""
    for dataset, name in (("Cityscapes", "a_1_gtFinePanopticParts.tiff"), ("Pascal", "a_1.tiff")):
        path = prepare_data(make(tmp_path / dataset, name), tmp_path, dataset, options=AGAIN)
        assert ImageList.load(path).ids == ["a_1"]


def test_pascal(tmp_path):
    gt = make(tmp_path / "gt", "2008_000008.tif")
    path = prepare_data(gt, tmp_path / "out", "Pascal", options=QUIET)
    assert json.loads(path.read_text())["images"] == [
        {"file_name": "2008_000008.png", "id": "2008_000008", "width": 5, "height": 3}
    ]


def test_again_and_with_other_images(tmp_path):
    gt = make(tmp_path / "gt", "2008_000008.tif")
    path = prepare_data(gt, tmp_path, "Pascal", options=QUIET)
    assert prepare_data(gt, tmp_path, "Pascal", options=QUIET) == path
    make(gt, "2008_000009.tif")
    with pytest.raises(InputError, match="images.json: already exists .*; use overwrite to"):
        prepare_data(gt, tmp_path, "Pascal", options=QUIET)
    prepare_data(gt, tmp_path, "Pascal", options=AGAIN)
    assert len(ImageList.load(path)) == 2


@pytest.mark.parametrize(
    ("names", "dataset", "message"),
    [
        ([], "Pascal", "expected ground-truth files"),
        (["2008_000008.tif"], "Cityscapes", "expected a name that ends in _gtFine"),
        (
            ["a_1_gtFinePanopticParts.tif"],
            "Pascal",
            "a name of PASCAL.* found Cityscapes'",
        ),
        (["a.tif"], "COCO", "expected one of .* found 'COCO'"),
    ],
)
def test_bad_input(tmp_path, names, dataset, message):
    (tmp_path / "gt").mkdir()
    make(tmp_path / "gt", *names)
    with pytest.raises(InputError, match=message):
        prepare_data(tmp_path / "gt", tmp_path, dataset, options=QUIET)
    assert not (tmp_path / "images.json").exists()


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="nothing: expected the folder"):
        prepare_data(tmp_path / "nothing", tmp_path, "Pascal", options=QUIET)

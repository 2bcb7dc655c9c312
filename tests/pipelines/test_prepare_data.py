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


def test_any_data_set_from_its_maps(tmp_path):
    gt = make(tmp_path / "gt", "a/0012_gt.tif", "b/house_gt.tif", "b/house_other.tif")
    path = prepare_data(gt, tmp_path / "out", "Other", ending="_gt", options=QUIET)
    assert json.loads(path.read_text())["images"] == [
        {"file_name": "a/0012_gt.tif", "id": "0012", "width": 5, "height": 3},
        {"file_name": "b/house_gt.tif", "id": "house", "width": 5, "height": 3},
    ]
    assert ImageList.load(path).ids == ["12", "house"]


def test_any_data_set_from_a_coco_json(tmp_path):
    image = {"id": 139.0, "file_name": "x\\139.jpg", "height": 4, "width": 6.0, "license": 2}
    (tmp_path / "gt.json").write_text(json.dumps({"images": [image], "annotations": []}))
    path = prepare_data(tmp_path / "gt.json", tmp_path / "out", "Other", options=QUIET)
    expected = {"id": 139, "file_name": "x/139.jpg", "height": 4, "width": 6}
    assert json.loads(path.read_text())["images"] == [expected]


@pytest.mark.parametrize(
    ("names", "ending", "message"),
    [
        (["a.tif"], "_gt", r"expected images .* whose names end in '_gt', found none among 1"),
        (["x/a.tif", "y/a.tif"], "", "one file for each image, found x/a.tif and y/a.tif for a"),
        (["01.tif", "1.tif"], "", "found 01.tif and 1.tif for 1"),
    ],
)
def test_files_that_are_no_images_of_their_own(tmp_path, names, ending, message):
    gt = make(tmp_path / "gt", *names)
    with pytest.raises(InputError, match=message):
        prepare_data(gt, tmp_path, "Other", ending=ending, options=QUIET)


def test_an_ending_is_for_other_data_sets(tmp_path):
    gt = make(tmp_path / "gt", "2008_000008.tif")
    with pytest.raises(InputError, match="^ending: expected none for Pascal, found '_gt'"):
        prepare_data(gt, tmp_path, "Pascal", ending="_gt", options=QUIET)

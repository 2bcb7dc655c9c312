"""The published folder layouts become dataset dicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pps_torch.integrations.detectron2.data.dataset_files import (
    STREETS,
    cityscapes_images,
    pascal_images,
    street_images,
)
from pps_torch.io.errors import InputError
from pps_torch.io.images import write_id_map
from tests.integrations.detectron2.data.published_folders import (
    UIDS,
    write_cityscapes,
    write_pascal,
)


def test_cityscapes(tmp_path):
    for city, number in (("ulm", 3), ("bonn", 1), ("bonn", 0)):
        write_cityscapes(tmp_path, city, number)
    write_cityscapes(tmp_path, "jena", 0, "train")
    images = cityscapes_images(tmp_path, "val")
    assert [i["image_id"] for i in images] == [
        "bonn_000000_000019",
        "bonn_000001_000019",
        "ulm_000003_000019",
    ]
    for image in images:
        assert (image["height"], image["width"]) == (4, 6)
        assert image["image_id"] in image["file_name"] and Path(image["file_name"]).is_file()
        assert image["image_id"] in image["pps_file_name"]
        assert Path(image["pps_file_name"]).is_file()
    assert [i["image_id"] for i in cityscapes_images(tmp_path, "train")] == ["jena_000000_000019"]


def test_pascal(tmp_path):
    write_pascal(tmp_path, "2008_000393", "training")
    write_pascal(tmp_path, "2008_000716", "validation")
    (image,) = pascal_images(tmp_path, "val")
    assert image["image_id"] == "2008_000716"
    assert image["file_name"] == str(tmp_path / "JPEGImages" / "2008_000716.jpg")
    assert len(pascal_images(tmp_path, "train")) == 1


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="gtFinePanopticParts/val: expected the folder"):
        cityscapes_images(tmp_path, "val")
    (tmp_path / "gtFinePanopticParts" / "val").mkdir(parents=True)
    with pytest.raises(InputError, match="expected ground-truth files .*, found none"):
        cityscapes_images(tmp_path, "val")
    write_cityscapes(tmp_path, "ulm", 3)
    (photo,) = (tmp_path / "leftImg8bit").rglob("*.png")
    photo.unlink()
    with pytest.raises(InputError, match="a photo of each image, found none for 1: .*ulm_000003"):
        cityscapes_images(tmp_path, "val")
    write_id_map(tmp_path / "gtFinePanopticParts" / "val" / "other.tif", UIDS)
    with pytest.raises(InputError, match="other.tif: expected a name that ends in"):
        cityscapes_images(tmp_path, "val")


def test_no_street_is_in_both_splits():
    seeds = {split: {i["street_seed"] for i in street_images(split)} for split in STREETS}
    assert not seeds["train"] & seeds["val"]
    for split, (_, count) in STREETS.items():
        assert len(seeds[split]) == count == len({i["image_id"] for i in street_images(split)})

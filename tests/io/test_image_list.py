"""images.json: ids in any form, clear errors."""

from __future__ import annotations

import json

import pytest

from pps_torch.io.errors import InputError
from pps_torch.io.image_list import ImageList, coco_id, normalise_id

SIZE = {"height": 4, "width": 6}


def load(tmp_path, *entries):
    (tmp_path / "images.json").write_text(json.dumps({"images": list(entries)}))
    return ImageList.load(tmp_path / "images.json")


def test_entries(tmp_path):
    entries = [
        {"id": 42, "file_name": "city/a.jpg", **SIZE},
        {"image_id": "x_1", "file_name": "b.jpeg", **SIZE, "license": 3},
        {"id": "000007", "image_id": 7, "file_name": "c.png", **SIZE},
    ]
    images = load(tmp_path, *entries)
    assert images.ids == ["42", "x_1", "7"]
    assert [image.png_name for image in images] == ["city/a.png", "b.png", "c.png"]
    assert [image.coco_id for image in images] == [42, "x_1", 7]
    assert images.images[0].size == (4, 6) and images.entries == entries


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"),
        (42.0, "42"),
        ("42", "42"),
        ("000042", "42"),
        (0, "0"),
        ("0", "0"),
        ("a_01", "a_01"),
    ],
)
def test_normalise_id(value, text):
    assert normalise_id(value) == text


def test_a_number_is_a_number_in_coco_files():
    assert [coco_id(i) for i in ("139", "aachen_1", "٣")] == [139, "aachen_1", "٣"]


@pytest.mark.parametrize("value", [None, 1.5, True, "", [1], float("inf")])
def test_no_id(value):
    with pytest.raises(ValueError, match="expected an integer or a text"):
        normalise_id(value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, r"images\[1\]: expected an object, found 3"),
        ({"file_name": "b.png", **SIZE}, r"images\[1\]: expected the key id .*file_name"),
        ({"id": 1.5, "file_name": "b.png", **SIZE}, r"images\[1\]: id: .* found 1.5"),
        ({"id": "b", "image_id": "c", "file_name": "b.png", **SIZE}, "expected one id"),
        ({"id": "b", **SIZE}, "file_name: expected a text, found none"),
        ({"id": "b", "file_name": "/b.png", **SIZE}, "relative path"),
        ({"id": "b", "file_name": "../b.png", **SIZE}, "relative path"),
        ({"id": "b", "file_name": "..\\b.png", **SIZE}, "relative path"),
        ({"id": "b", "file_name": "b\0.png", **SIZE}, r"images\[1\]: file_name: .*'b\\x00.png'"),
        ({"id": "b", "file_name": "\ud800.png", **SIZE}, r"file_name: .*'\\ud800.png'"),
        ({"id": "b", "file_name": "b.png", "height": 4}, "width: expected a positive .*found none"),
        ({"id": "b", "file_name": "b.png", "height": 0, "width": 3}, "height: .*found 0"),
        ({"id": "b", "file_name": "b.png", "height": True, "width": 3}, "height: .*true"),
        ({"id": "05", "file_name": "b.png", **SIZE}, "expected each image id once.*: 5"),
        ({"id": "b", "file_name": "a.png", **SIZE}, "expected each file_name.*: a.png"),
    ],
)
def test_bad_entry(tmp_path, entry, message):
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path, {"id": 5, "file_name": "a.jpg", **SIZE}, entry)
    assert str(tmp_path / "images.json") in str(error.value)


def test_a_list_that_windows_or_a_table_wrote(tmp_path):
    """Backslashes, and integers as tables of floats print them."""
    (image,) = load(tmp_path, {"id": 42.0, "file_name": "a\\b.jpg", "height": 4.0, "width": 6.0})
    assert image.id == "42" and image.size == (4, 6) and type(image.height) is int
    assert image.file_name == "a/b.jpg" and image.png_name == "a/b.png"


@pytest.mark.parametrize("content", ["{}", '{"images": []}', '{"images": {"id": 1}}'])
def test_no_images(tmp_path, content):
    (tmp_path / "images.json").write_text(content)
    with pytest.raises(InputError, match="images: expected a list of images"):
        ImageList.load(tmp_path / "images.json")

"""COCO panoptic JSON, and segment ids near the colours of the classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pps_torch.io.coco_panoptic import (
    PanopticFile,
    SegmentIdGenerator,
    load_categories,
    renumber,
    rgb_to_id,
)
from pps_torch.io.errors import InputError

SEGMENTS = [{"id": 3, "category_id": 26}, {"id": 9, "category_id": 7, "iscrowd": 0}]


def entry(image_id=1, **changes):
    return {"image_id": image_id, "file_name": "a.png", "segments_info": SEGMENTS, **changes}


def load(tmp_path, **content):
    (tmp_path / "panoptic").mkdir(exist_ok=True)
    (tmp_path / "panoptic.json").write_text(json.dumps({"annotations": [entry()], **content}))
    return PanopticFile.load(tmp_path / "panoptic.json")


def test_load(tmp_path):
    images = [{"id": "000001", "height": 4, "width": 5}, {"id": 2}]
    file = load(tmp_path, annotations=[entry(), entry("b", file_name="x/b.png")], images=images)
    assert list(file.annotations) == ["1", "b"]
    assert file.annotations["b"].png == tmp_path / "panoptic" / "x" / "b.png"
    assert file.annotations["1"].segments_info == SEGMENTS
    assert file.categories == [] and file.sizes == {"1": (4, 5)}


def test_annotations_of_a_list_of_images(tmp_path):
    """panopticapi turns ids into numbers where Python can: 2008_000123 is 2008000123."""
    file = load(tmp_path, annotations=[entry(2008000123), entry("b")])
    found = file.find_annotations(["2008_000123", "b"], "images.json")
    assert [annotation.image_id for annotation in found.values()] == ["2008000123", "b"]
    with pytest.raises(InputError, match="each image of images.json, found none for 2: c, d"):
        file.find_annotations(["b", "c", "d"], "images.json")


def test_leading_zeros_of_a_number_of_groups_do_not_count(tmp_path):
    file = load(tmp_path, annotations=[entry("0008_000123"), entry(8000124)])
    image_ids = ["0008_000123", "0008_000124"]
    found = file.find_annotations(image_ids, "images.json")
    assert [found[image_id].image_id for image_id in image_ids] == ["0008_000123", "8000124"]


@pytest.mark.parametrize(
    ("image_id", "other"), [("a_b_1", "ab1"), ("1_b", "1b"), ("_12", 12), ("1__2", 12)]
)
def test_only_what_python_reads_as_a_number_takes_one(tmp_path, image_id, other):
    file = load(tmp_path, annotations=[entry(other)])
    with pytest.raises(InputError, match=f"none for 1: {image_id}"):
        file.find_annotations([image_id], "images.json")


@pytest.mark.parametrize("image_ids", [["1_23", "12_3"], ["123", "1_23"], ["1_23", "123"]])
def test_two_images_cannot_take_one_annotation(tmp_path, image_ids):
    file = load(tmp_path, annotations=[entry(123)])
    message = "image 123: expected .* one image of images.json, .* for {} and for {}$"
    with pytest.raises(InputError, match=message.format(*image_ids)):
        file.find_annotations(image_ids, "images.json")


def segment(**changes):
    return {"annotations": [entry(segments_info=[{**SEGMENTS[0], **changes}])]}


@pytest.mark.parametrize("score", [None, 0, 1, 0.5, -3])
def test_scores(tmp_path, score):
    file = load(tmp_path, **segment(score=score))
    assert file.annotations["1"].segments_info[0]["score"] == score


@pytest.mark.parametrize("isthing", [False, True, 0, 1])
def test_isthing(tmp_path, isthing):
    categories = [{"id": 0, "name": "x", "isthing": isthing}]
    assert load(tmp_path, categories=categories).categories == categories


def test_integers_with_a_point_are_integers(tmp_path):
    """As JavaScript and tables of floats write them."""
    segments = [{"id": 3.0, "category_id": 26.0, "iscrowd": 0.0, "area": 5.0}]
    annotation = entry(1.0, segments_info=segments)
    categories = [{"id": 26.0, "name": "car", "isthing": 1.0, "color": [1.0, 2.0, 3.0]}]
    images = [{"id": 1.0, "height": 4.0, "width": 5.0}]
    file = load(tmp_path, annotations=[annotation], categories=categories, images=images)
    (segment,) = file.annotations["1"].segments_info
    assert (segment["id"], segment["category_id"]) == (3, 26)
    assert type(segment["id"]) is type(segment["category_id"]) is int
    assert type(file.categories[0]["id"]) is int and file.categories[0]["color"] == [1, 2, 3]
    assert file.sizes == {"1": (4, 5)} and type(file.sizes["1"][0]) is int


def test_no_crowd_may_be_null(tmp_path):
    annotation = load(tmp_path, **segment(iscrowd=None)).annotations["1"]
    assert not annotation.target(torch.tensor([[3, 0]])).is_crowd.any()


def test_names_of_pngs_from_windows(tmp_path):
    annotation = load(tmp_path, annotations=[entry(file_name="x\\a.png")]).annotations["1"]
    assert annotation.png == tmp_path / "panoptic" / "x" / "a.png"
    with pytest.raises(InputError, match="image 1: .*inside"):
        load(tmp_path, annotations=[entry(file_name="x\\..\\..\\a.png")])


@pytest.mark.parametrize("name", ["..", "a/../../b.png", "a\\..\\..\\b.png", "/a.png"])
def test_names_of_pngs_stay_in_the_folder(tmp_path, name):
    with pytest.raises(InputError, match="image 1: file_name: expected a file inside"):
        load(tmp_path, annotations=[entry(file_name=name)])


def test_a_prediction_may_number_its_segments_from_0(tmp_path):
    """As DETR does: then no pixel is void, as in panopticapi."""
    content = {"annotations": [entry(segments_info=[{"id": 0, "category_id": 7}, SEGMENTS[0]])]}
    with pytest.raises(InputError, match=r"segment 0: expected an id 1\..16777215, as 0 is void"):
        load(tmp_path, **content)
    file = PanopticFile.load(tmp_path / "panoptic.json", is_prediction=True)
    prediction = file.annotations["1"].prediction(torch.tensor([[0, 0, 3]]))
    assert prediction.panoptic_seg.tolist() == [[1, 1, 2]]
    assert prediction.category_ids.tolist() == [7, 26]


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ([128, 64, 1], [128, 64, 1]),
        ([128, 64, 1, 255], [128, 64, 1]),
        ([0.5, 0.25, 1.0], [128, 64, 255]),
        ("#804001", [128, 64, 1]),
        ("804001ff", [128, 64, 1]),
        ("#fa0", [255, 170, 0]),
        (None, None),
    ],
)
def test_colors_as_people_write_them(tmp_path, color, expected):
    categories = [{"id": 1, "name": "x", "isthing": 0, "color": color}]
    assert load(tmp_path, categories=categories).categories[0].get("color") == expected


@pytest.mark.parametrize(
    "color", ["red", "", 7, [], [1, 2], [1, 2, 300], [0.5, 200, 3], [1, 2, "3"], [True] * 3, {}]
)
def test_what_is_no_color_is_left_out_with_a_warning(tmp_path, color):
    categories = [{"id": 1, "name": "x", "isthing": 0, "color": color}]
    with pytest.warns(UserWarning, match="panoptic.json: categories: color: .* that of x"):
        assert "color" not in load(tmp_path, categories=categories).categories[0]


def test_names_in_any_language_under_any_locale(tmp_path, monkeypatch):
    """A name is not a file name, which the locale may refuse."""
    monkeypatch.setattr("os.fsencode", lambda name: name.encode("latin-1"))
    categories = [{"id": 1, "name": "自転車", "isthing": 1}]
    assert load(tmp_path, categories=categories).categories[0]["name"] == "自転車"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"annotations": None}, "annotations: expected a list"),
        ({"annotations": [3]}, "annotation 0: expected an object"),
        ({"annotations": [entry(None)]}, "annotation 0: image_id: .*found null$"),
        ({"annotations": [{"file_name": "a"}]}, "image_id: expected an id, found none$"),
        ({"annotations": [{"image_id": 1}]}, "file_name: expected the name of a PNG, found none$"),
        (segment(iscrowd="no"), 'iscrowd: expected 0 or 1, found "no"'),
        (segment(id=True), "id: expected an integer, found true"),
        ({"categories": [{"id": 1, "isthing": 0}]}, "name: expected a text, found none$"),
        ({"categories": [{"id": 1, "name": "\ud800", "isthing": 0}]}, "name: expected a text"),
        ({"categories": [{"name": "x", "isthing": 0}]}, "id: expected an integer, found none$"),
        ({"annotations": [entry(file_name=None)]}, "annotation 0: file_name"),
        ({"annotations": [entry(file_name="../a.png")]}, "image 1: .*inside"),
        ({"annotations": [entry(segments_info=None)]}, "annotation 0: segments_info"),
        ({"annotations": [entry(segments_info=[3])]}, "image 1: .*found 3"),
        ({"annotations": [entry(), entry("01")]}, "expected image 1 once"),
        ({"annotations": [entry(segments_info=[SEGMENTS[0]] * 2)]}, "segment 3: .*twice"),
        ({"annotations": [entry(segments_info=[{"id": 0, "category_id": 1}])]}, "segment 0: "),
        ({"annotations": [entry(segments_info=[{"id": 1.5, "category_id": 1}])]}, "id: .*1.5"),
        ({"annotations": [entry(segments_info=[{"id": 2**24, "category_id": 1}])]}, "16777216"),
        (
            {"annotations": [entry(segments_info=[{"id": 1}])]},
            "category_id: expected an integer, found none$",
        ),
        ({"annotations": [entry(file_name="a\0.png")]}, r"image 1: file_name: .*'a\\x00.png'"),
        ({"annotations": [entry(file_name="\ud800.png")]}, r"image 1: file_name: .*'\\ud800.png'"),
        (segment(category_id=2**70), r"image 1: segment 3: category_id: expected an id 0\.\."),
        (segment(category_id=2**31), "category_id: .* found 2147483648"),
        (segment(category_id=-1), "category_id: .* found -1"),
        (segment(iscrowd=2), "segment 3: iscrowd: expected 0 or 1, found 2"),
        (segment(score="0.5"), 'image 1: segment 3: score: .* number or null, found "0.5"'),
        (segment(score=True), "image 1: segment 3: score: .* found true"),
        (segment(score=[1]), "image 1: segment 3: score: .* found "),
        (segment(score=10**400), "image 1: segment 3: score: .* found int"),
        (segment(score=float("nan")), "image 1: segment 3: score: .* found NaN"),
        ({"categories": 3}, "categories: expected a list"),
        ({"categories": [{"id": 1, "name": "x"}]}, r"\[0\] \(x\): isthing: .*found none$"),
        ({"categories": [{"id": 1, "name": "x", "isthing": 0}] * 2}, r"categories\[1\]: id: "),
        ({"categories": [{"id": 2**70, "name": "x", "isthing": 0}]}, r"categories\[0\]: id: "),
        (
            {"categories": [{"id": 1, "name": "car", "isthing": 2}]},
            r"categories\[0\] \(car\): isthing: expected 0 or 1, found 2",
        ),
        ({"images": 3}, "images: expected a list"),
        ({"images": [{"id": 1, "height": float("inf"), "width": 1}]}, r"images\[0\]"),
        ({"images": [{"id": None, "height": 1, "width": 1}]}, r"images\[0\]"),
    ],
)
def test_bad_file(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        load(tmp_path, **content)
    assert "panoptic.json" in str(error.value)


def test_no_folder(tmp_path):
    (tmp_path / "panoptic.json").write_text('{"annotations": []}')
    with pytest.raises(InputError, match="expected the folder with the PNGs"):
        PanopticFile.load(tmp_path / "panoptic.json")


def test_unknown_category(tmp_path):
    annotation = load(tmp_path).annotations["1"]
    annotation.check_categories({26, 7}, "the list")
    with pytest.raises(InputError, match=r"image 1: segment 9: .* of the list \(26\), found 7$"):
        annotation.check_categories({26}, "the list")
    with pytest.raises(InputError, match="found 7; are these class indices\\?$"):
        annotation.check_categories({26, *range(100, 120)}, "the list")


def test_file_without_categories(tmp_path):
    load(tmp_path)
    with pytest.raises(InputError, match="categories: expected a list of categories, found none"):
        load_categories(tmp_path / "panoptic.json")


def category(category_id, color, isthing):
    return {"id": category_id, "name": str(category_id), "color": color, "isthing": isthing}


def test_ids_are_near_the_colours_and_the_same_in_every_run():
    generator = SegmentIdGenerator([category(1, [0, 0, 142], 1), category(2, [128, 64, 128], 0)])
    segments = [{"category_id": 1, "isthing": True}] * 5 + [{"category_id": 2, "isthing": False}]
    ids = generator.ids(segments)
    assert ids == generator.ids(segments) and len(set(ids)) == 6
    assert ids[0] == rgb_to_id((0, 0, 142)) and ids[5] == rgb_to_id((128, 64, 128))
    for segment_id in ids[:5]:
        color = segment_id % 256, segment_id // 256 % 256, segment_id // 65536
        assert all(abs(a - b) <= 30 for a, b in zip(color, (0, 0, 142)))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from([(0, 0, 0), (255, 255, 255), (9, 9, 9), (10, 9, 9)]), min_size=1),
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60),
)
def test_ids_are_never_double_nor_void(colors, choices):
    """Black classes, classes of one colour, neighbouring colours."""
    categories = [category(i, list(color), i % 2) for i, color in enumerate(colors)]
    segments = [
        {"category_id": i % len(colors), "isthing": bool(i % len(colors) % 2)} for i, _ in choices
    ]
    ids = SegmentIdGenerator(categories).ids(segments)
    assert len(set(ids)) == len(ids) and 0 not in ids and all(i < 256**3 for i in ids)


@pytest.mark.slow
def test_many_segments_of_a_black_class():
    generator = SegmentIdGenerator([category(1, [0, 0, 0], 1)])
    ids = generator.ids([{"category_id": 1, "isthing": True}] * 40_000)
    assert len(set(ids)) == 40_000 and min(ids) > 0 and max(ids) < 256**3


def test_renumber():
    assert renumber(np.array([[0, 2], [1, 0]]), [70000, 5]).tolist() == [[0, 5], [70000, 0]]

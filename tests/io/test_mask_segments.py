"""Segments as masks in a JSON: maps of ids, and errors that name what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pps_torch import PanopticTarget
from pps_torch.io.coco_panoptic import PanopticFile
from pps_torch.io.errors import InputError
from pps_torch.io.mask_segments import read_segments

RLE = {"size": [2, 3], "counts": [0, 2, 4]}  # the first column
POLYGON = [[1, 0, 3, 0, 3, 1, 1, 1]]  # the rest of the first row


def encoded(mask: np.ndarray, kind: str):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    if kind == "bytes":
        return rle
    if kind == "text":
        return {**rle, "counts": rle["counts"].decode()}
    flat = mask.T.ravel()
    lengths = np.diff(np.flatnonzero(np.diff(flat.astype(int))) + 1, prepend=0, append=flat.size)
    return {"size": [*mask.shape], "counts": [0] * int(flat[0]) + lengths.tolist()}


def test_by_hand():
    """RLE goes down the columns."""
    annotations = [
        {"category_id": 26, "segmentation": RLE, "iscrowd": 1},
        {"category_id": 7, "segmentation": POLYGON},
    ]
    ids, infos = read_segments(annotations, (2, 3))
    assert ids.tolist() == [[1, 2, 2], [1, 0, 0]] and ids.dtype == np.int32
    target = PanopticTarget.from_segments(ids, infos)
    assert target.category_ids.tolist() == [26, 7] and target.is_crowd.tolist() == [True, False]
    assert "id" not in annotations[0]
    assert read_segments([], (2, 3))[0].tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("kind", ["bytes", "text", "list"])
def test_random_maps(kind):
    rng = np.random.default_rng(1)
    for _ in range(30):
        ids = rng.integers(0, 5, rng.integers(1, 9, 2)).astype(np.int32)
        present = [number for number in range(1, 5) if (ids == number).any()]
        annotations = [
            {"category_id": number, "segmentation": encoded(ids == number, kind)}
            for number in present
        ]
        found, infos = read_segments(annotations, ids.shape)
        assert np.array_equal(np.array([0, *present])[found], ids)
        assert [info["category_id"] for info in infos] == present


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        (
            [{"segmentation": RLE}, {"id": 9, "segmentation": {**RLE, "counts": [1, 2, 3]}}],
            r"found that annotation 0 and annotation 1 \(id 9\) share pixels",
        ),
        (
            [{"segmentation": {**RLE, "counts": [1, 1, 4]}}, {"segmentation": RLE}],
            "annotation 0 and annotation 1 share pixels; merge_to_panoptic makes panoptic maps",
        ),
        ([{"segmentation": RLE}, {}], r"annotations\[1\]: expected a segmentation, found \[\]"),
        ([{"segmentation": {**RLE, "size": [3, 2]}}], "annotation 0: segmentation: size: expected"),
        (
            [{"segmentation": {**RLE, "counts": [0, 2]}}],
            "counts: expected 6 pixels in all, found 2",
        ),
        ([{"segmentation": [[1, 2]]}], "annotation 0: segmentation: expected polygons"),
    ],
)
def test_bad_masks_are_named(annotations, message):
    with pytest.raises(ValueError, match=message):
        read_segments(annotations, (2, 3))


def test_an_overlap_is_found_between_segments_that_are_no_neighbours():
    long, short = {"size": [1, 9], "counts": [0, 9]}, {"size": [1, 9], "counts": [2, 1, 6]}
    with pytest.raises(ValueError, match="annotation 0 and annotation 2 share pixels"):
        empty = {"size": [1, 9], "counts": [9]}
        read_segments([{"segmentation": s} for s in (long, empty, short)], (1, 9))


CATEGORIES = [{"id": 7, "name": "road", "isthing": 0}, {"id": 26, "name": "car", "isthing": 1}]
IMAGES = [{"id": 1, "height": 2, "width": 3}, {"id": "a", "height": 4, "width": 4}]
ANNOTATIONS = [
    {"id": 5, "image_id": 1, "category_id": 26, "segmentation": RLE, "iscrowd": 1},
    {"id": 6, "image_id": 1, "category_id": 7, "segmentation": POLYGON, "area": 2},
]


def load(tmp_path, content, **options):
    path = tmp_path / "segments.json"
    path.write_text(json.dumps(content))
    return PanopticFile.load(path, allow_masks=True, **options)


def test_a_file_with_an_annotation_for_each_segment(tmp_path):
    content = {"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES}
    file = load(tmp_path, content)
    assert file.has_masks and [*file.annotations] == ["1", "a"]
    assert file.annotations["1"].read_ids((2, 3)).tolist() == [[1, 2, 2], [1, 0, 0]]
    assert not file.annotations["a"].read_ids((4, 4)).any()
    segments = file.annotations["1"].segments_info
    assert [(s["id"], s["category_id"], s.get("iscrowd")) for s in segments] == [
        (1, 26, 1),
        (2, 7, None),
    ]


def test_results_are_a_list_and_images_without_any_have_no_segments(tmp_path):
    file = load(tmp_path, ANNOTATIONS, is_prediction=True)
    found = file.find_annotations(["1", "7"], tmp_path / "gt.json")
    assert len(found["1"].segments_info) == 2 and not found["7"].segments_info
    with pytest.raises(InputError, match="expected an annotation for each image .* none for 2"):
        file.find_annotations(["7", "8"], tmp_path / "gt.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": "car"}, "image 1: segments_info: category_id: expected an integer"),
        ({"iscrowd": 2}, "image 1: segment 1: iscrowd: expected 0 or 1, found 2"),
        ({"image_id": []}, "annotation 0: image_id: expected"),
    ],
)
def test_bad_entries_are_named(tmp_path, change, message):
    content = {"images": IMAGES, "annotations": [{**ANNOTATIONS[0], **change}, ANNOTATIONS[1]]}
    with pytest.raises(InputError, match=f"segments.json: {message}"):
        load(tmp_path, content)


def test_files_of_both_kinds_and_those_without_sizes_are_refused(tmp_path):
    content = {"images": IMAGES, "annotations": [ANNOTATIONS[0], {"image_id": 2}]}
    with pytest.raises(InputError, match="annotation 1: expected the key category_id"):
        load(tmp_path, content)
    with pytest.raises(InputError, match="expected no folder of PNGs, .* found pngs"):
        load(tmp_path, ANNOTATIONS, folder="pngs", is_prediction=True)
    with pytest.raises(InputError, match="segments.json: expected an object, found"):
        load(tmp_path, ANNOTATIONS)
    file = load(tmp_path, {"annotations": ANNOTATIONS[1:]})
    with pytest.raises(InputError, match="image 1: expected its height and width in images"):
        file.annotations["1"].read_ids()


def test_sizes_that_no_image_has_are_refused(tmp_path):
    images = [
        {"id": "a", "height": 10**5, "width": 10**5},
        {"id": "b", "height": 1, "width": 10**300},
    ]
    file = load(tmp_path, {"images": images, "annotations": ANNOTATIONS})
    for image_id in "ab":
        with pytest.raises(
            InputError, match=f"image {image_id}: expected at most 178956970 pixels"
        ):
            file.annotations[image_id].read_ids(file.sizes[image_id])
    images = [{"id": "a", "height": 2, "width": 3}, {"id": "a", "height": 3, "width": 2}]
    with pytest.raises(InputError, match=r"images\[1\]: .* found 2 x 3 before, and 3 x 2"):
        load(tmp_path, {"images": images, "annotations": ANNOTATIONS})


def test_a_long_id_is_not_repeated_in_full(tmp_path):
    file = load(
        tmp_path, [{**ANNOTATIONS[0], "id": "x" * 1000, "segmentation": None}], is_prediction=True
    )
    with pytest.raises(InputError, match=r"annotation 0 \(id a string\): segmentation: expected"):
        file.annotations["1"].read_ids((2, 3))

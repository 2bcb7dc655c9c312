"""Predicted instances from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from pycocotools import mask as coco_mask

from pps_torch.io.errors import InputError
from pps_torch.io.image_list import Image, ImageList
from pps_torch.io.instances import InstanceRules, ScoreCounts, open_instances

RULES = InstanceRules("a_spec", {7: "road", 24: "person", 26: "car"}, (24, 26), 0.5)
SIZE = (6, 8)
IMAGES = ImageList(
    Path("images.json"), tuple(Image(i, f"{i}.png", *SIZE) for i in ("1", "x")), [{}, {}]
)


def mask_of(*rows):
    mask = np.zeros(SIZE, bool)
    mask[list(rows), 2:5] = True
    return mask


def annotation(image_id, mask, score, category_id=26):
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    segmentation = {"size": list(SIZE), "counts": rle["counts"].decode()}
    keys = ("image_id", "score", "category_id", "segmentation")
    return dict(zip(keys, (image_id, score, category_id, segmentation)))


def read(source, image):
    instances = source.read(image)
    return instances.masks(), instances.scores.tolist(), instances.category_ids.tolist()


@pytest.fixture(params=["COCO", "COCO folder", "COCO object", "Cityscapes"])
def source(request, tmp_path):
    """The same instances in each form."""
    annotations = [
        annotation("000001", mask_of(1, 2), 0.5),
        annotation(1, mask_of(3), 0.499),
        annotation("x", mask_of(0), 0.25),
        annotation("1", mask_of(2), 0.9, 24),
        annotation("unlisted", mask_of(2), 0.9),
    ]
    if request.param == "Cityscapes":
        for image_id in ("1", "x"):
            lines = []
            for number, entry in enumerate(annotations):
                if str(entry["image_id"]).lstrip("0") == image_id:
                    mask = coco_mask.decode(entry["segmentation"])
                    name = f"masks/mask {number}.png"
                    (tmp_path / "masks").mkdir(exist_ok=True)
                    PilImage.fromarray(mask * 3).save(tmp_path / name)
                    lines.append(f"{name} {entry['category_id']} {entry['score']}\n\n")
            (tmp_path / f"{image_id}_pred.txt").write_text("".join(lines))
        return open_instances(tmp_path, "Cityscapes", IMAGES, RULES)
    if request.param == "COCO folder":
        (tmp_path / "00001.json").write_text(
            json.dumps([a for a in annotations if str(a["image_id"]).endswith("1")])
        )
        (tmp_path / "x.json").write_text(json.dumps(annotations[2:3]))
        return open_instances(tmp_path, "COCO", IMAGES, RULES)
    content = annotations if request.param == "COCO" else {"annotations": annotations}
    (tmp_path / "all.json").write_text(json.dumps(content))
    return open_instances(tmp_path / "all.json", "COCO", IMAGES, RULES)


def test_instances_of_an_image(source):
    masks, scores, category_ids = read(source, IMAGES.images[0])
    assert scores == [0.5, 0.9] and category_ids == [26, 24]
    assert np.array_equal(masks, [mask_of(1, 2), mask_of(2)])
    masks, scores, category_ids = read(source, IMAGES.images[1])
    assert masks.shape == (0, *SIZE) and scores == category_ids == []
    masks, *_ = read(source, IMAGES.images[0])
    assert np.array_equal(masks, [mask_of(1, 2), mask_of(2)])


def test_the_highest_score_is_that_of_all_instances(source):
    assert [source.read(image).all_scores.highest for image in IMAGES] == [0.9, 0.25]


def test_scores_above_one_are_counted():
    assert ScoreCounts.of([0.5, 1.0, 97.0, 40.0]) == (4, 2, 97.0)
    assert ScoreCounts.of([]) == (0, 0, None)


def test_files_that_an_image_depends_on(source):
    files = list(source.files(IMAGES.images[0]))
    assert all(path.is_file() for path in files)
    assert len(files) in (1, 4)


def test_image_id_inside_a_file_of_another_image(tmp_path):
    (tmp_path / "1.json").write_text(json.dumps([annotation("x", mask_of(1), 0.9)]))
    (tmp_path / "x.json").write_text("[]")
    instances = open_instances(tmp_path, "COCO", IMAGES, RULES)
    with pytest.raises(InputError, match="1.json: annotation 0: image_id: expected 1, found x"):
        instances.read(IMAGES.images[0])


def test_masks_below_the_threshold_are_checked_too(tmp_path):
    PilImage.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "small.png")
    (tmp_path / "1.txt").write_text("small.png 26 0.1\n")
    (tmp_path / "x.txt").write_text("")
    instances = open_instances(tmp_path, "Cityscapes", IMAGES, RULES)
    with pytest.raises(InputError, match="small.png: expected height x width 6 x 8, found 2 x 2"):
        instances.read(IMAGES.images[0])


@pytest.mark.parametrize("name", ["../outside.png", "/etc/hostname", "inside/../../outside.png"])
def test_mask_outside_the_folder_is_refused(tmp_path, name):
    folder = tmp_path / "predictions"
    folder.mkdir()
    PilImage.fromarray(mask_of(1)).save(tmp_path / "outside.png")
    (folder / "1.txt").write_text(f"{name} 26 0.9\n")
    (folder / "x.txt").write_text("")
    instances = open_instances(folder, "Cityscapes", IMAGES, RULES)
    with pytest.raises(InputError, match="line 1 .image 1.: expected a mask inside"):
        instances.read(IMAGES.images[0])


def test_mask_that_is_a_link_is_read(tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    PilImage.fromarray(mask_of(1)).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "1.txt").write_text("link.png 26 0.9\n")
    (folder / "x.txt").write_text("")
    instances = open_instances(folder, "Cityscapes", IMAGES, RULES).read(IMAGES.images[0])
    assert np.array_equal(instances.masks()[0], mask_of(1))


def test_mask_name_that_no_file_can_have(tmp_path):
    (tmp_path / "1.txt").write_text("a\0.png 26 0.9\n")
    (tmp_path / "x.txt").write_text("")
    instances = open_instances(tmp_path, "Cityscapes", IMAGES, RULES)
    with pytest.raises(InputError, match=r"1.txt: line 1 .*the name of a mask, found 'a\\x00.png'"):
        instances.read(IMAGES.images[0])


def test_masks_from_the_folder_when_the_text_file_lies_deeper(tmp_path):
    (tmp_path / "city").mkdir()
    PilImage.fromarray(mask_of(1)).save(tmp_path / "mask.png")
    (tmp_path / "city" / "1.txt").write_text("mask.png 26 0.9\n")
    (tmp_path / "city" / "x.txt").write_text("")
    masks, *_ = read(open_instances(tmp_path, "Cityscapes", IMAGES, RULES), IMAGES.images[0])
    assert np.array_equal(masks, [mask_of(1)])


def test_a_folder_of_text_files_is_not_coco(tmp_path):
    for name in ("1", "x"):
        (tmp_path / f"{name}.txt").write_text("")
    with pytest.raises(
        InputError, match="expected a JSON for each image, found text files"
    ) as error:
        open_instances(tmp_path, "COCO", IMAGES, RULES)
    assert error.value.text("--{}".format).endswith(
        "; use --instseg_format to read them as those of Cityscapes"
    )
    for name in ("1", "x"):
        (tmp_path / f"{name}.json").write_text("[]")
    assert not open_instances(tmp_path, "COCO", IMAGES, RULES).read(IMAGES.images[0]).mask_runs


def test_unknown_format(tmp_path):
    with pytest.raises(InputError, match="expected one of .* found 'VOC'"):
        open_instances(tmp_path, "VOC", IMAGES, RULES)

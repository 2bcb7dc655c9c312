"""Predictions written from tensors: what is read again is what was there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch import EvalSpec, PanopticQuality, PanopticSegmentation, PanopticTarget
from pps_torch.io.coco_panoptic import PanopticFile
from pps_torch.io.errors import InputError
from pps_torch.io.image_list import Image as ListedImage
from pps_torch.io.image_list import ImageList
from pps_torch.io.images import read_rgb_ids
from pps_torch.io.instances import InstanceRules, open_instances
from pps_torch.io.pps_files import read_pps
from pps_torch.io.writers import PanopticWriter, write_cityscapes_instances, write_pps
from pps_torch.pipelines import RunOptions, eval_pq
from tests.processes import in_processes

SPEC = EvalSpec.load("cpp_default")
CATEGORIES = [{"id": 7, "name": "road", "isthing": 0}, {"id": 26, "name": "car", "isthing": 1}]


def prediction(seed=0, categories=CATEGORIES, ids=(7, 26)):
    rng = np.random.default_rng(seed)
    maps = rng.choice([ids[0], ids[1], ids[1], -1], (5, 8)), rng.integers(1, 3, (5, 8))
    return PanopticSegmentation.from_labels(tuple(map(torch.from_numpy, maps)), categories)


@pytest.mark.parametrize("categories", [CATEGORIES, SPEC], ids=["plain ids", "ids near colours"])
def test_what_is_read_is_what_was_written(tmp_path, categories):
    preds = {image_id: prediction(seed, categories) for seed, image_id in enumerate([139, "a_01"])}
    with PanopticWriter(tmp_path / "new" / "pred.json", categories) as writer:
        for image_id, pred in preds.items():
            writer.write(image_id, pred)
    file = PanopticFile.load(tmp_path / "new" / "pred.json", is_prediction=True)
    assert list(file.annotations) == ["139", "a_01"] and file.sizes["139"] == (5, 8)
    for image_id, pred in preds.items():
        annotation = file.annotations[str(image_id)]
        found = annotation.prediction(torch.from_numpy(read_rgb_ids(annotation.png)))
        assert torch.equal(found.panoptic_seg, pred.panoptic_seg)
        assert torch.equal(found.category_ids, pred.category_ids)
        ids = [segment["id"] for segment in annotation.segments_info]
        assert (ids == [1, 2, 3]) == (categories is CATEGORIES)


def test_eval_pq_of_what_was_written_is_pq_in_memory(tmp_path):
    metric = PanopticQuality(CATEGORIES)
    for name, offset in (("gt", 0), ("pred", 5)):
        with PanopticWriter(tmp_path / f"{name}.json", CATEGORIES) as writer:
            for seed in range(4):
                writer.write(seed, prediction(seed + (offset if seed % 2 else 0)))
    for seed in range(4):
        gt = prediction(seed)
        no_crowd = torch.zeros_like(gt.is_thing)
        target = PanopticTarget(gt.panoptic_seg, gt.category_ids, no_crowd, gt.num_segments)
        metric.update(prediction(seed + (5 if seed % 2 else 0)), target)
    options = RunOptions(device="cpu", quiet=True)
    result = eval_pq(tmp_path / "gt.json", tmp_path / "pred.json", options=options)
    assert result.as_dict() == metric.compute().as_dict() and 0 < result.value < 1


def test_segments_without_pixels_are_left_out(tmp_path):
    pred = prediction()._replace(panoptic_seg=torch.ones(2, 2).int(), areas=torch.tensor([4, 0, 0]))
    with PanopticWriter(tmp_path / "pred.json", CATEGORIES) as writer:
        writer.write(1, pred)
    (annotation,) = json.loads((tmp_path / "pred.json").read_text())["annotations"]
    assert [segment["id"] for segment in annotation["segments_info"]] == [1]


def test_no_two_images_share_a_png(tmp_path):
    """Frames of two videos, in which each has a 0001.png."""
    with PanopticWriter(tmp_path / "pred.json", CATEGORIES) as writer:
        writer.write(1, prediction(), file_name="a/0001.png")
        writer.write(1, prediction(1), file_name="a/0001.png")  # once more, the same image
        writer.write(2, prediction(), file_name="b/0001.png")
        with pytest.raises(InputError, match="name of its own for image 3, .*that of image 1$"):
            writer.write(3, prediction(), file_name="a/0001.png")
    content = json.loads((tmp_path / "pred.json").read_text())
    assert [image["id"] for image in content["images"]] == [1, 2]
    content["annotations"][1]["file_name"] = "a/0001.png"
    (tmp_path / "pred.json").write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="2 images share 1, of them 1 and 2 .*0001.png"):
        PanopticFile.load(tmp_path / "pred.json")


def test_segments_that_the_table_does_not_have_are_not_written(tmp_path):
    pred = prediction()
    wrong = pred._replace(panoptic_seg=pred.panoptic_seg.clone().fill_(-1))
    with (
        PanopticWriter(tmp_path / "pred.json", CATEGORIES) as writer,
        pytest.raises(ValueError, match=r"^panoptic_seg: expected segments 1..3 or void, 0, fo"),
    ):
        writer.write(1, wrong)


def test_there_is_no_json_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), PanopticWriter(tmp_path / "pred.json", CATEGORIES) as writer:
        writer.write(1, prediction())
        raise RuntimeError
    assert not (tmp_path / "pred.json").exists()


def test_an_earlier_json_is_not_replaced_by_chance(tmp_path):
    for _ in range(2):
        with PanopticWriter(tmp_path / "pred.json", CATEGORIES, overwrite=True) as writer:
            writer.write(1, prediction())
    with pytest.raises(InputError, match="pred.json: already exists; use overwrite to replace it"):
        PanopticWriter(tmp_path / "pred.json", CATEGORIES)


@pytest.mark.parametrize(
    ("panoptic", "name", "message"),
    [
        ("x", None, "^panoptic: expected a PanopticSegmentation"),
        ("batch", None, r"^panoptic: expected one image \(H, W\), found \(1, 5, 8\)"),
        ("one", "../a.png", "^file_name: expected a name inside"),
    ],
)
def test_bad_predictions_are_named(tmp_path, panoptic, name, message):
    one = prediction()
    batch = PanopticSegmentation(*(field[None] for field in one))
    writer = PanopticWriter(tmp_path / "pred.json", CATEGORIES)
    with pytest.raises((TypeError, ValueError), match=message):
        writer.write(1, {"batch": batch, "one": one}.get(panoptic, panoptic), file_name=name)


@pytest.mark.parametrize("categories", [CATEGORIES, SPEC], ids=["plain ids", "ids near colours"])
def test_class_indices_in_place_of_ids_are_named(tmp_path, categories):
    classes = [{"id": i, "name": str(i), "isthing": i} for i in (0, 1)]
    pred = prediction(0, classes, ids=(0, 1))
    message = (
        r"^panoptic.category_ids: expected .* \(0, 1\); the categories have the ids 7, .*indices"
    )
    with pytest.raises(ValueError, match=message):
        PanopticWriter(tmp_path / "pred.json", categories).write(1, pred)
    assert not list((tmp_path / "pred").iterdir())


def test_categories_that_are_none_are_named(tmp_path):
    message = r"^categories\[0\]: expected the keys id, name, isthing, found id$"
    with pytest.raises(ValueError, match=message):
        PanopticWriter(tmp_path / "pred.json", [{"id": 7}])


def write_share(rank, folder):
    with PanopticWriter(folder / "pred.json", CATEGORIES) as writer:
        for image_id in (rank, rank + 2, 4):  # both have image 4
            writer.write(image_id, prediction(image_id))
    with pytest.raises((KeyError, RuntimeError)) as caught:  # noqa: SIM117
        with PanopticWriter(folder / "other.json", CATEGORIES) as writer:
            writer.write(rank, prediction(rank))
            if rank == 1:
                raise KeyError("lost")
    return str(caught.value)


@pytest.mark.slow
def test_two_processes_write_one_json_or_none(tmp_path):
    first, second = in_processes(2, write_share, tmp_path)
    assert second == "'lost'" and not (tmp_path / "other.json").exists()
    assert first == (
        f"{tmp_path / 'other.json'}: expected the images of all processes, found that some failed: "
        "1: KeyError('lost')"
    )
    file = PanopticFile.load(tmp_path / "pred.json")
    assert sorted(file.annotations) == ["0", "1", "2", "3", "4"]
    assert all(annotation.png.is_file() for annotation in file.annotations.values())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_pps_maps(tmp_path, dtype):
    pps = torch.randint(0, 256, (3, 4, 6)).to(dtype)
    write_pps(tmp_path / "new" / "a.png", pps)
    assert np.array_equal(read_pps(tmp_path / "new" / "a.png"), pps.numpy())
    assert Image.open(tmp_path / "new" / "a.png").mode == "RGB"


@pytest.mark.parametrize(
    ("pps", "message"),
    [
        (torch.zeros(2, 2).long(), r"^pps: expected shape \(3, H, W\), found \(2, 2\)"),
        (torch.zeros(3, 2, 2), "^pps: expected uint8 or a signed integer"),
        (
            torch.tensor([[[7]], [[256]], [[1]]]),
            "^pps: expected instances .* found 256",
        ),
        (torch.tensor([[[7]], [[1]], [[-1]]]), "^pps: expected ids of 0 or more, found -1"),
    ],
)
def test_bad_pps_maps(tmp_path, pps, message):
    with pytest.raises((TypeError, ValueError), match=message):
        write_pps(tmp_path / "a.png", pps)
    assert not (tmp_path / "a.png").exists()


def test_instances_as_cityscapes_expects_them(tmp_path):
    masks = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(0)) > 0.5
    scores, ids = torch.tensor([0.5, 1 / 3, 1e-7]), torch.tensor([26, 24, 26])
    for image_id, some in (("bonn_000000_000019", slice(None)), ("bonn_000001_000019", slice(0))):
        write_cityscapes_instances(tmp_path / "new", image_id, masks[some], scores[some], ids[some])
    lines = (tmp_path / "new" / "bonn_000000_000019.txt").read_text().splitlines()
    assert lines[0] == "masks/bonn_000000_000019_0.png 26 0.5" and len(lines) == 3

    images = ImageList(
        tmp_path / "images.json",
        tuple(ListedImage(f"bonn_00000{n}_000019", f"{n}.png", 4, 6) for n in range(2)),
        [],
    )
    source = open_instances(
        tmp_path / "new", "Cityscapes", images, InstanceRules("cpp", {}, [24, 26], 0.0)
    )
    found = source.read(images.images[0])
    assert np.array_equal(found.masks(), masks.numpy())
    assert found.scores.tolist() == scores.tolist(), "to the last bit"
    assert found.category_ids.tolist() == ids.tolist()
    assert len(source.read(images.images[1]).scores) == 0, "an image without instances"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": torch.ones(1, 2, 2)}, "^masks: expected torch.bool"),
        ({"scores": torch.ones(2)}, r"^scores: expected shape \(1,\), found \(2,\)"),
        ({"image_id": "a b"}, "^image_id: expected a name without spaces or slashes, found 'a b'"),
        ({"image_id": "../a"}, "^image_id: expected a name without"),
    ],
)
def test_bad_instances_are_named(tmp_path, changes, message):
    one = {
        "image_id": "a",
        "masks": torch.ones(1, 2, 2, dtype=torch.bool),
        "scores": torch.ones(1),
        "category_ids": torch.ones(1).long(),
    }
    with pytest.raises((TypeError, ValueError), match=message):
        write_cityscapes_instances(tmp_path, **(one | changes))

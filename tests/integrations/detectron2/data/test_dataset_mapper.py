"""The mapper keeps photo, instances, semantic, part and uid map together."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

pytest.importorskip("detectron2", reason="needs Detectron2")

from detectron2.config import get_cfg
from detectron2.data import transforms as T

from pps_torch import EvalSpec
from pps_torch.integrations.detectron2 import PPSDatasetMapper, add_pps_config
from pps_torch.integrations.detectron2.data.dataset_files import street_images
from pps_torch.integrations.detectron2.data.training_targets import TrainingTargetMaker
from pps_torch.io.errors import InputError
from pps_torch.io.images import write_id_map, write_rgb
from pps_torch.synthetic import make_street

SPEC = EvalSpec.load("cpp_default")
SIZE = (64, 128)
STREET = make_street(SIZE, 3)


@pytest.fixture
def dataset_dict(tmp_path) -> dict:
    """A street in files: the photo's pixels say where they are from, by colour."""
    rows, columns = np.indices(SIZE).astype(np.uint8)
    write_rgb(tmp_path / "photo.png", np.stack([rows, columns, np.zeros_like(rows)]))
    write_id_map(tmp_path / "uids.tif", STREET.uids.numpy())
    return {
        "file_name": str(tmp_path / "photo.png"),
        "image_id": "street",
        "height": SIZE[0],
        "width": SIZE[1],
        "pps_file_name": str(tmp_path / "uids.tif"),
    }


def mapper(augmentations, is_train=True) -> PPSDatasetMapper:
    return PPSDatasetMapper(
        is_train, augmentations=augmentations, image_format="RGB", eval_spec=SPEC
    )


def expect_agreement(sample) -> None:
    """Everything is what the uids say, with the dtypes that the models take."""
    size = tuple(sample["image"].shape[1:])
    targets = TrainingTargetMaker(SPEC)(sample["pps_gt"])
    instances = sample["instances"]
    assert sample["image"].dtype == torch.uint8 and sample["pps_gt"].dtype == torch.int32
    assert sample["sem_seg"].dtype == sample["part_seg"].dtype == torch.int64
    assert tuple(sample["pps_gt"].shape) == instances.image_size == size
    assert torch.equal(sample["sem_seg"], targets.sem_seg)
    assert torch.equal(sample["part_seg"], targets.part_seg)
    assert torch.equal(instances.gt_masks.tensor, targets.masks)
    assert torch.equal(instances.gt_classes, targets.classes)
    for mask, box in zip(instances.gt_masks.tensor, instances.gt_boxes.tensor.tolist()):
        rows, columns = mask.nonzero().unbind(1)
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box == [float(edge) for edge in edges]


EXACT = {
    "nothing": [],
    "flip": [T.RandomFlip(prob=1.0)],
    "vertical flip": [T.RandomFlip(prob=1.0, horizontal=False, vertical=True)],
    "crop": [T.RandomCrop("absolute", (40, 50))],
    "crop, flip": [T.RandomCrop("relative", (0.5, 0.5)), T.RandomFlip(prob=1.0)],
    "crop of fixed size": [T.FixedSizeCrop((50, 60))],
}


@pytest.mark.parametrize("name", EXACT)
def test_flips_and_crops_move_the_uids_with_the_photo(name, dataset_dict):
    sample = mapper(EXACT[name])(dataset_dict)
    expect_agreement(sample)
    rows, columns = sample["image"][0].long(), sample["image"][1].long()
    assert torch.equal(sample["pps_gt"], STREET.uids[rows, columns])
    assert (sample["height"], sample["width"]) == SIZE


@pytest.mark.parametrize("size", [(128, 256), (192, 384), (32, 64), (47, 91), (100, 60)])
def test_resized_uids_are_those_nearest_to_the_pixel_centers(size, dataset_dict):
    sample = mapper([T.Resize(size)])(dataset_dict)
    expect_agreement(sample)
    places = [(np.arange(new) + 0.5) * old / new for new, old in zip(size, SIZE)]
    rows, columns = (place.astype(int) for place in places)
    is_tie_row, is_tie_column = (np.abs(place - place.round()) < 1e-6 for place in places)
    is_nearest = (sample["pps_gt"] == STREET.uids[rows][:, columns]).numpy()
    assert (is_nearest | is_tie_row[:, None] | is_tie_column).all()
    assert set(sample["pps_gt"].unique().tolist()) <= set(STREET.uids.unique().tolist())
    # The photo's colours are its coordinates: they may be off by the blur of bilinear resizing.
    off = (sample["image"][1].float() - torch.from_numpy(columns)).abs()[:, 2:-2]
    assert off.max() <= max(1.0, SIZE[1] / size[1])


def test_pixels_outside_the_photo_are_unlabelled(dataset_dict):
    sample = mapper([T.FixedSizeCrop((80, 150))])(dataset_dict)
    expect_agreement(sample)
    assert torch.equal(sample["pps_gt"][:64, :128], STREET.uids)
    assert (sample["pps_gt"][64:] == 0).all() and (sample["pps_gt"][:, 128:] == 0).all()
    assert (sample["sem_seg"][64:] == 255).all() and (sample["part_seg"][:, 128:] == 255).all()


def test_why_uids_are_resized_as_bytes():
    """What Detectron2 does with other maps: it refuses integers, and shifts floats."""
    resize = T.ResizeTransform(1, 4, 1, 2)
    with pytest.raises(RuntimeError, match="not implemented for 'Int'"):
        resize.apply_segmentation(np.array([[0, 1, 2, 3]], np.int32))
    assert resize.apply_segmentation(np.array([[0.0, 1, 2, 3]])).tolist() == [[0, 2]]
    assert resize.apply_segmentation(np.array([[0, 1, 2, 3]], np.uint8)).tolist() == [[1, 3]]


def test_several_at_once(dataset_dict):
    several = [
        T.ResizeShortestEdge([40, 90], 200, "range"),
        T.RandomCrop("relative_range", (0.4, 0.4)),
    ]
    mapped = mapper(
        [*several, T.RandomFlip(), T.RandomBrightness(0.8, 1.2), T.FixedSizeCrop((64, 64))]
    )
    for _ in range(10):
        sample = mapped(dataset_dict)
        expect_agreement(sample)
        assert tuple(sample["pps_gt"].shape) == (64, 64)


def test_in_testing_the_ground_truth_keeps_its_size(dataset_dict):
    sample = mapper([T.ResizeShortestEdge(32)], is_train=False)(dataset_dict)
    assert tuple(sample["image"].shape) == (3, 32, 64)
    assert torch.equal(sample["pps_gt"], STREET.uids)
    assert "instances" not in sample and "sem_seg" not in sample
    without = {k: v for k, v in dataset_dict.items() if k != "pps_file_name"}
    assert "pps_gt" not in mapper([], is_train=False)(without)
    with pytest.raises(InputError, match="image street: expected pps_file_name or street_seed"):
        mapper([])(without)


def test_wrong_files_are_named(dataset_dict, tmp_path):
    write_id_map(tmp_path / "uids.tif", STREET.uids.numpy()[:-1])
    with pytest.raises(InputError, match="uids.tif: expected height x width 64 x 128, found 63"):
        mapper([])(dataset_dict)
    wrong = STREET.uids.numpy().copy()
    wrong[0, 0] = 123
    write_id_map(tmp_path / "uids.tif", wrong)
    with pytest.raises(InputError, match="image street: uids: expected .* e.g. 123"):
        mapper([])(dataset_dict)


def test_from_config_and_through_a_worker():
    cfg = get_cfg()
    add_pps_config(cfg)
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.SIZE = True, [0.5, 0.5]
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (96,), 64
    train, test = PPSDatasetMapper(cfg, True), PPSDatasetMapper(cfg, False)
    street = {**street_images("val")[0], "height": SIZE[0], "width": SIZE[1]}
    for copied in (train, pickle.loads(pickle.dumps(train))):
        sample = copied(street)
        expect_agreement(sample)
        assert min(sample["pps_gt"].shape) == 96
    sample = test(street)
    drawn = make_street(SIZE, street["street_seed"])
    assert torch.equal(sample["pps_gt"], drawn.uids)
    assert torch.equal(sample["image"].flip(0), drawn.photo), "BGR by default"

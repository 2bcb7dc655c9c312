"""The synthetic street: valid ground truth with all its special cases, and usable predictions."""

import pytest
import torch

from pps_torch import EvalSpec, PartPanopticQuality, decode_uids, merge_panoptic, merge_pps
from pps_torch.synthetic import make_street, predict_imperfectly

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]


@pytest.fixture(scope="module")
def spec():
    return EvalSpec.load("cpp_default")


@pytest.fixture(scope="module", params=SEEDS)
def seed(request):
    return request.param


@pytest.fixture(scope="module")
def scene(seed):
    return make_street(seed=seed)


@pytest.fixture(scope="module")
def prediction(scene, spec, seed):
    return predict_imperfectly(scene, spec, seed)


def test_shapes_and_types(scene):
    assert scene.photo.shape == (3, 512, 1024) and scene.photo.dtype == torch.uint8
    assert scene.uids.shape == (512, 1024) and scene.uids.dtype == torch.int32


def test_uids_are_valid(scene, spec):
    for sid, iid, pid in torch.stack(decode_uids(scene.uids.unique()), 1).tolist():
        assert 0 <= sid < len(spec.dataset.scene_classes)
        assert iid == -1 or sid in spec.dataset.things
        assert pid == -1 or 1 <= pid < len(spec.dataset.part_classes[sid])


def test_the_street_has_every_special_case(scene):
    sids, iids, pids = decode_uids(scene.uids)
    assert {7, 8, 11, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 32, 33} <= set(
        sids.unique().tolist()
    )
    assert {0, 1} <= set(scene.uids.unique().tolist())
    crowd = (sids == 24) & (iids == -1)
    car_without_parts = (sids == 26) & (iids >= 0) & (pids == -1)
    assert crowd.sum() > 100
    assert car_without_parts.sum() > 300
    assert len(iids[car_without_parts].unique()) == 1
    assert len(iids[(sids == 26) & (iids >= 0)].unique()) >= 6
    assert len(iids[(sids == 24) & (iids >= 0)].unique()) >= 5
    for sid, num_parts in ((24, 4), (25, 4), (26, 5), (28, 5)):
        assert len(pids[(sids == sid) & (pids > 0)].unique()) == num_parts


def test_most_of_the_photo_is_where_the_labels_are(scene):
    sids, _, _ = decode_uids(scene.uids)
    red, green, blue = scene.photo.float()[:, (sids == 21)].mean(1)
    assert green > red > blue
    red, green, blue = scene.photo.float()[:, (sids == 23)].mean(1)
    assert blue > green > red


def test_prediction_shapes_and_types(prediction, spec):
    for ids in (prediction.semantic, prediction.part_seg):
        assert ids.shape == (512, 1024) and ids.dtype == torch.uint8
    assert set(prediction.semantic.unique().tolist()) <= set(spec.eval_sids)
    assert prediction.part_seg.max() <= spec.highest_flat_pid
    assert len(prediction.detections) >= 10
    for mask, category_id, score in prediction.detections:
        assert mask.shape == (512, 1024) and mask.dtype == torch.bool and mask.any()
        assert category_id in spec.things and isinstance(category_id, int)
        assert 0 <= score <= 1 and isinstance(score, float)


def test_part_pq_is_neither_good_nor_bad(scene, prediction, spec):
    masks, classes, scores = zip(*prediction.detections, strict=True)
    panoptic = merge_panoptic(
        prediction.semantic,
        torch.stack(masks),
        torch.tensor(scores),
        torch.tensor(classes),
        stuff_ids=spec.stuff,
        stuff_area_limit=1024,
    )
    pps = merge_pps(panoptic, prediction.part_seg, spec)
    result = PartPanopticQuality(spec).update(pps, scene.uids).compute()
    assert 0.4 < result.summary["PartPQ"] < 0.8


def test_same_seed_same_street(scene, prediction, spec, seed):
    again = make_street(seed=seed)
    assert torch.equal(again.photo, scene.photo) and torch.equal(again.uids, scene.uids)
    repeated = predict_imperfectly(again, spec, seed)
    assert torch.equal(repeated.semantic, prediction.semantic)
    assert torch.equal(repeated.part_seg, prediction.part_seg)
    for one, other in zip(repeated.detections, prediction.detections, strict=True):
        assert torch.equal(one.mask, other.mask)
        assert one[1:] == other[1:]


def test_other_seed_other_street(scene, prediction, spec, seed):
    assert not torch.equal(make_street(seed=seed + 1).uids, scene.uids)
    other = predict_imperfectly(scene, spec, seed + 1)
    assert not torch.equal(other.semantic, prediction.semantic)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("cpp_default", (64, 128)),
        ("cpp_default", (100, 60)),
        ("cpp_grouped", (33, 200)),
    ],
)
def test_other_sizes_and_specs(name, size):
    spec = EvalSpec.load(name)
    scene = make_street(size, seed=5)
    prediction = predict_imperfectly(scene, spec, seed=5)
    assert scene.photo.shape == (3, *size)
    assert scene.uids.shape == prediction.semantic.shape == prediction.part_seg.shape == size

"""The heuristic merge: each rule by hand, random scenes against the oracle, golden cases."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from pps_torch import EvalSpec, merge_panoptic
from pps_torch.merging.category_ids import as_id_tensor
from pps_torch.specs.lookups import dataset_lookups
from tests.factories import BATCH_SHAPES, INTEGER_DTYPES, SIZES, instances
from tests.golden import cases
from tests.merging.compare import expect_segmentation, images_of
from tests.oracles.merge_panoptic import merge_panoptic as slow_merge
from tests.triton_support import BACKENDS

ROAD, SKY, CAR, PERSON = 7, 23, 26, 24


def row_masks(*spans: tuple[int, int]) -> torch.Tensor:
    """Masks on an image of one row of 12 pixels: first and last column + 1."""
    masks = torch.zeros(len(spans), 1, 12, dtype=torch.bool)
    for mask, (start, stop) in zip(masks, spans):
        mask[0, start:stop] = True
    return masks


def merge_row(spans, scores, classes=None, sem_seg=None, **settings):
    """Merges spans of a row of 12 pixels; no stuff unless a sem_seg row is given."""
    sem_seg = torch.tensor([sem_seg if sem_seg is not None else [0] * 12])
    classes = torch.tensor(classes or [CAR] * len(spans), dtype=torch.int64)
    settings.setdefault("stuff_ids", [ROAD, SKY])
    return merge_panoptic(
        sem_seg, row_masks(*spans), torch.tensor(scores, dtype=torch.float32), classes, **settings
    )


def row(result) -> list[int]:
    return result.panoptic_seg[0].tolist()


# Instances


@pytest.mark.parametrize("validate", [None, True])
def test_a_class_of_stuff_ids_makes_a_thing_beside_the_stuff(validate):
    """As in both references; in Detectron2 thing 7 and stuff 7 are two classes."""
    sem_seg, settings = [ROAD] * 12, {"stuff_area_limit": 1, "validate": validate}
    result = merge_row([(0, 6)], [0.9], [ROAD], sem_seg, **settings)
    assert row(result) == [1] * 6 + [2] * 6
    assert result.category_ids[:2].tolist() == [ROAD, ROAD]
    assert result.is_thing[:2].tolist() == [True, False]


@pytest.mark.parametrize("score, kept", [(0.5, 1), (0.499, 0)])
def test_a_score_equal_to_the_threshold_stays(score, kept):
    assert merge_row([(0, 6)], [score], score_threshold=0.5).num_segments.item() == kept


def test_scores_are_compared_with_the_threshold_in_float64():
    # The nearest float32 to 0.7 is 0.699999988: Detectron2 drops it too.
    assert merge_row([(0, 6)], [0.7], score_threshold=0.7).num_segments.item() == 0
    assert merge_row([(0, 6)], [0.4], score_threshold=0.4).num_segments.item() == 1


@pytest.mark.parametrize(
    "covered, threshold, kept",
    [
        (5, 0.5, True),  # 5 / 10 is not above 1 / 2
        (6, 0.5, False),
        (3, 0.3, True),  # 3 / 10 and 0.3 are the same double, 10 * 0.3 is not 3.0...
        (7, 0.7, True),
        (1, 0.1, True),
        (0, 0.0, True),
        (1, 0.0, False),
        (9, 1.0, True),
        (10, 1.0, False),  # the references list a segment without pixels
    ],
)
def test_an_overlap_equal_to_the_threshold_stays(covered, threshold, kept):
    result = merge_row([(0, covered), (0, 10)], [0.9, 0.8], overlap_threshold=threshold)
    if covered == 0:
        assert row(result) == [1] * 10 + [0] * 2
    elif kept:
        assert row(result) == [1] * covered + [2] * (10 - covered) + [0] * 2
    else:
        assert row(result) == [1] * covered + [0] * (12 - covered)


def test_the_better_score_is_in_front():
    assert row(merge_row([(0, 6), (4, 12)], [0.6, 0.9])) == [2] * 4 + [1] * 8


def test_ties_go_to_the_lower_index():
    result = merge_row([(4, 12), (0, 6), (3, 9)], [0.75, 0.75, 0.75])
    assert row(result) == [2] * 4 + [1] * 8
    assert result.source.tolist()[:2] == [0, 1]


def test_overlap_is_counted_against_full_masks_not_against_what_is_left_of_them():
    # B keeps 2 of its 4 pixels; C lies on B's other two and on one of its own: 2 / 3 covered.
    result = merge_row([(0, 4), (2, 6), (2, 5)], [0.9, 0.8, 0.7], overlap_threshold=0.5)
    assert row(result) == [1] * 4 + [2] * 2 + [0] * 6


def test_a_dropped_instance_covers_nothing():
    # B is dropped (3 / 4 covered); C would be covered by B, but B does not count.
    result = merge_row([(0, 6), (3, 7), (6, 8)], [0.9, 0.8, 0.7], overlap_threshold=0.4)
    assert row(result) == [1] * 6 + [2] * 2 + [0] * 4
    assert result.source.tolist()[:2] == [0, 2]


def test_an_instance_below_the_threshold_covers_nothing():
    result = merge_row([(0, 12), (0, 6)], [0.4, 0.9])
    assert row(result) == [1] * 6 + [0] * 6


def test_classes_do_not_matter_among_instances():
    result = merge_row([(0, 6), (0, 7)], [0.9, 0.8], [CAR, PERSON])
    assert row(result) == [1] * 6 + [0] * 6


def test_an_empty_mask_is_no_segment():
    result = merge_row([(0, 0), (0, 3)], [0.9, 0.8])
    assert result.num_segments.item() == 1 and result.source[0].item() == 1


# Stuff


@pytest.mark.parametrize("limit, kept", [(4, True), (5, False)])
def test_the_stuff_limit_counts_what_instances_leave_and_equality_stays(limit, kept):
    result = merge_row([(0, 8)], [0.9], sem_seg=[ROAD] * 12, stuff_area_limit=limit)
    assert row(result) == [1] * 8 + [2 if kept else 0] * 4


def test_same_class_stuff_is_one_segment_and_others_are_void():
    sem_seg = [ROAD, ROAD, SKY, SKY, ROAD, ROAD, CAR, CAR, 255, 255, 0, 0]
    result = merge_row([], [], sem_seg=sem_seg, stuff_area_limit=1)
    assert row(result) == [1, 1, 2, 2, 1, 1] + [0] * 6
    assert result.segments_info() == [
        {"id": 1, "category_id": ROAD, "isthing": False, "area": 4},
        {"id": 2, "category_id": SKY, "isthing": False, "area": 2},
    ]


def test_stuff_comes_after_instances_in_the_order_of_stuff_ids():
    sem_seg = [ROAD] * 6 + [SKY] * 6
    result = merge_row([(5, 7)], [0.9], sem_seg=sem_seg, stuff_ids=[SKY, ROAD], stuff_area_limit=1)
    assert row(result) == [3] * 5 + [1] * 2 + [2] * 5
    assert result.category_ids.tolist() == [CAR, SKY, ROAD]


def test_stuff_that_is_wholly_covered_is_no_segment_even_without_a_limit():
    result = merge_row([(0, 12)], [0.9], sem_seg=[ROAD] * 12, stuff_area_limit=0)
    assert result.num_segments.item() == 1


def test_segments_info_of_an_instance():
    (info,) = merge_row([(2, 5)], [0.75]).segments_info()
    assert info == {
        "id": 1, "category_id": CAR, "isthing": True, "area": 3, "score": 0.75, "source": 0,
    }  # fmt: skip


# Random scenes


def random_settings(rng: np.random.Generator) -> dict:
    return {
        "stuff_ids": [int(i) for i in rng.permutation([7, 23, 8])[: rng.integers(0, 4)]],
        "score_threshold": float(rng.choice([0.0, 0.5, 0.625, 0.75])),
        "overlap_threshold": float(rng.choice([0.0, 0.2, 0.3, 0.5, 0.6, 0.9, 1.0])),
        "stuff_area_limit": int(rng.choice([0, 1, 5, 20])),
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_random_scenes_as_the_oracle(size, batch, device):
    rng = np.random.default_rng([*size, len(batch)])
    for _ in range(18 // max(1, 2 * len(batch))):
        count, settings = int(rng.integers(0, 9)), random_settings(rng)
        scenes = [
            instances(rng, size, count, [7, 8, 23, 24, 26])
            for _ in range(np.prod(batch, dtype=int))
        ]
        dtype = INTEGER_DTYPES[rng.integers(len(INTEGER_DTYPES))]
        stacked = [np.stack(arrays).reshape(*batch, *arrays[0].shape) for arrays in zip(*scenes)]
        sem_seg, masks, scores, classes = (torch.from_numpy(a).to(device) for a in stacked)
        result = merge_panoptic(sem_seg.to(dtype), masks, scores, classes.to(dtype), **settings)
        capacity = count + len(settings["stuff_ids"])
        for found, scene in zip(images_of(result), scenes, strict=True):
            expect_segmentation(found, *slow_merge(*scene, **settings), capacity=capacity)


def test_a_noisy_crowded_scene(device):
    rng = np.random.default_rng(0)
    scene = instances(rng, (40, 60), 60, [7, 8, 23, 24, 26])
    settings = {"stuff_ids": [7, 8, 23], "score_threshold": 0.0, "stuff_area_limit": 30}
    result = merge_panoptic(*(torch.from_numpy(a).to(device) for a in scene), **settings)
    expect_segmentation(result, *slow_merge(*scene, **settings), capacity=63)


# Inputs


def test_inputs_are_read_only_and_may_be_strided(device):
    rng = np.random.default_rng(1)
    scene = [torch.from_numpy(a).to(device) for a in instances(rng, (9, 14), 6, [7, 26])]
    settings = {"stuff_ids": [7], "stuff_area_limit": 1}
    before = [value.clone() for value in scene]
    plain = merge_panoptic(*scene, **settings)
    strided = [v.mT.contiguous().mT for v in scene[:2]] + [
        v.repeat_interleave(2)[::2] for v in scene[2:]
    ]
    assert not strided[1].is_contiguous()
    for a, b in zip(plain, merge_panoptic(*strided, **settings)):
        assert torch.equal(a, b)
    for a, b in zip(scene, before):
        assert torch.equal(a, b)


def test_no_image_and_no_instance():
    no_image = merge_panoptic(
        torch.zeros(0, 4, 5, dtype=torch.int64), torch.zeros(0, 3, 4, 5, dtype=torch.bool),
        torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), stuff_ids=[7],
    )  # fmt: skip
    assert no_image.panoptic_seg.shape == (0, 4, 5) and no_image.category_ids.shape == (0, 4)
    nothing = merge_row([], [], stuff_ids=[])
    assert nothing.category_ids.shape == (0,) and nothing.panoptic_seg.sum() == 0


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"sem_seg": torch.zeros(1, 12)}, TypeError, "^sem_seg: "),
        ({"sem_seg": torch.zeros(12, dtype=torch.int64)}, ValueError, "^sem_seg: "),
        ({"pred_masks": torch.zeros(2, 1, 12)}, TypeError, "^pred_masks: "),
        ({"pred_masks": torch.zeros(2, 1, 11, dtype=torch.bool)}, ValueError, "^pred_masks: "),
        ({"pred_masks": torch.zeros(3, 1, 12, dtype=torch.bool)}, ValueError, "^pred_masks: "),
        ({"scores": torch.zeros(2, dtype=torch.int64)}, TypeError, "^scores: "),
        ({"scores": torch.tensor([0.9, float("nan")])}, ValueError, "^scores: .*NaN"),
        ({"pred_classes": torch.zeros(2)}, TypeError, "^pred_classes: "),
        ({"pred_classes": torch.zeros(3, dtype=torch.int64)}, ValueError, "^pred_classes: "),
        ({"pred_classes": torch.tensor([24, -1])}, ValueError, "^pred_classes: .*-1"),
        ({"overlap_threshold": 1.5}, ValueError, "^overlap_threshold: .*1.5"),
        ({"score_threshold": "0.5"}, TypeError, "^score_threshold: expected a number, found '0.5'"),
        ({"overlap_threshold": torch.ones(1)}, TypeError, "^overlap_threshold: expected a number"),
        ({"stuff_ids": [7, 7]}, ValueError, "^stuff_ids: "),
        ({"stuff_ids": [7.0]}, TypeError, "^stuff_ids: expected ints, found .7.0."),
    ],
)
def test_wrong_arguments_are_named(change, error, match):
    arguments = {
        "sem_seg": torch.zeros(1, 12, dtype=torch.int64),
        "pred_masks": row_masks((0, 5), (3, 8)),
        "scores": torch.tensor([0.9, 0.8]),
        "pred_classes": torch.tensor([CAR, CAR]),
        "stuff_ids": [ROAD],
    }
    with pytest.raises(error, match=match):
        merge_panoptic(**{**arguments, **change}, validate=True)


@pytest.mark.parametrize("threshold", [-torch.inf, 0.5])
@pytest.mark.parametrize(
    "change", [{"pred_classes": torch.tensor([-1])}, {"scores": torch.tensor([torch.nan])}]
)
def test_what_is_dropped_unchecked_is_dropped_at_any_threshold(change, threshold):
    arguments = {
        "sem_seg": torch.zeros(1, 4, dtype=torch.int64),
        "pred_masks": torch.ones(1, 1, 4, dtype=torch.bool),
        "scores": torch.tensor([0.9]),
        "pred_classes": torch.tensor([CAR]),
        "stuff_ids": [ROAD],
        "score_threshold": threshold,
        "validate": False,
    }
    assert merge_panoptic(**arguments).num_segments.item() == 1
    result = merge_panoptic(**{**arguments, **change})
    assert result.num_segments.item() == 0 and result.category_ids.tolist() == [-1, -1]


@pytest.mark.parametrize(
    "wrong, match, is_always_refused",
    [
        ([ROAD, -1], r"^stuff_ids: expected distinct ids of 0 or more, found \[7, -1\]", False),
        ([ROAD, ROAD], "^stuff_ids: expected distinct", False),
        ([[ROAD, SKY]], r"^stuff_ids: expected shape \(K,\), found \(1, 2\)", True),
    ],
)
def test_a_tensor_of_stuff_ids_is_checked_like_a_list(wrong, match, is_always_refused):
    inputs = torch.full((1, 4), SKY), row_masks()[..., :4], torch.ones(0), torch.ones(0).long()
    for right in ([ROAD, SKY], torch.tensor([ROAD, SKY])):
        merged = merge_panoptic(*inputs, stuff_ids=right, stuff_area_limit=1)
        assert merged.category_ids.tolist() == [SKY, -1]
    with pytest.raises(ValueError, match=match):
        merge_panoptic(*inputs, stuff_ids=torch.tensor(wrong))
    refusal = pytest.raises(ValueError, match=match) if is_always_refused else nullcontext()
    with refusal:
        merge_panoptic(*inputs, stuff_ids=torch.tensor(wrong), validate=False)


# Golden cases


@pytest.mark.parametrize("instance_format", ["COCO", "Cityscapes"])
@pytest.mark.parametrize("spec_name", cases.SPECS)
def test_golden_panoptic_parts(spec_name, instance_format, device):
    stuff_ids = EvalSpec.load(spec_name).stuff
    for case in cases.merging_images(spec_name, instance_format):
        arrays = (case[name] for name in ("sem_seg", "masks", "scores", "classes"))
        result = merge_panoptic(
            *(torch.from_numpy(a).to(device) for a in arrays),
            stuff_ids=stuff_ids, stuff_area_limit=1024,
        )  # fmt: skip
        categories = {info["id"]: info["category_id"] for info in result.segments_info()}
        found = cases.number_by_first_appearance(result.panoptic_seg.cpu().numpy(), categories)
        assert np.array_equal(found[0], case["panoptic"]) and found[1] == case["categories"]


def test_golden_detectron2(device):
    for case in cases.npz_cases("detectron2_combine"):
        arrays = (case[name] for name in ("sem_seg", "masks", "scores", "classes"))
        settings = {
            k: case[k] for k in ("score_threshold", "overlap_threshold", "stuff_area_limit")
        }
        stuff_ids = [label for label in np.unique(case["sem_seg"]).tolist() if label != 0]
        result = merge_panoptic(
            *(torch.from_numpy(a).to(device) for a in arrays), stuff_ids=stuff_ids, **settings
        )
        assert np.array_equal(result.panoptic_seg.cpu().numpy(), case["panoptic_seg"])
        for ours, theirs in zip(result.segments_info(), case["segments_info"], strict=True):
            theirs = {"source" if k == "instance_id" else k: v for k, v in theirs.items()}
            assert {k: ours[k] for k in theirs} == theirs


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_byte_seen_as_a_bool_is_true_whatever_its_value(backend, device):
    masks = torch.zeros(2, 4, 8, dtype=torch.uint8)
    masks[0, :, :4], masks[1, :, 2:7] = 255, 2
    inputs = torch.zeros(4, 8).long(), masks, torch.tensor([0.9, 0.8]), torch.tensor([CAR, CAR])
    sem_seg, masks, scores, classes = (value.to(device) for value in inputs)
    settings = {"stuff_ids": [], "overlap_threshold": 0.5, "backend": backend}
    found = merge_panoptic(sem_seg, masks.view(torch.bool), scores, classes, **settings)
    expected = merge_panoptic(sem_seg, masks != 0, scores, classes, **settings)
    assert found.areas.tolist() == [16, 12]
    assert torch.equal(found.panoptic_seg, expected.panoptic_seg)


def test_a_list_of_ids_leaves_nothing_of_a_mode_behind():
    """Copies on a device are kept, but not those that a FakeTensorMode made there."""
    for _ in range(2):
        with FakeTensorMode():
            as_id_tensor("stuff_ids", [7, 8], torch.device("meta"))
    kept = as_id_tensor("stuff_ids", [7, 8], torch.device("meta"))
    assert type(kept) is torch.Tensor
    assert as_id_tensor("stuff_ids", [7, 8], torch.device("meta")) is kept
    spec = EvalSpec.load("cpp_default")
    with FakeTensorMode():
        assert isinstance(dataset_lookups(spec, "meta").class_of_sid, FakeTensor)
    assert type(dataset_lookups(spec, "meta").class_of_sid) is torch.Tensor

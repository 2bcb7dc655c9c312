"""Mask2Former's inference: each rule by hand, random scenes against the oracle, golden cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pps_torch import merge_panoptic_queries
from tests.factories import BATCH_SHAPES, SIZES, queries
from tests.golden import cases
from tests.merging.compare import expect_segmentation, images_of
from tests.oracles.merge_queries import merge_panoptic_queries as slow_merge

THING, STUFF, NO_OBJECT = 0, 1, 2


def logits_of(probability: float) -> float:
    return math.log(probability / (1 - probability))


def merge_row(*rows, **settings):
    """Queries on an image of one row: (class, class probability, mask probability per pixel)."""
    class_logits = torch.full((len(rows), 3), -50.0)
    for logits, (category, probability, _) in zip(class_logits, rows):
        logits[category] = logits_of(probability) if probability < 1 else 50
        logits[(category + 1) % 3] = 0  # the rest of the probability
    mask_logits = torch.tensor([[[logits_of(p) for p in probs]] for _, _, probs in rows])
    return merge_panoptic_queries(class_logits, mask_logits, **{"thing_ids": [THING], **settings})


def row(result) -> list[int]:
    return result.panoptic_seg[0].tolist()


def test_a_pixel_goes_to_the_largest_score_times_probability():
    # 0.9 * 0.9 < 0.99 * 0.85 although 0.9 > 0.85
    result = merge_row((THING, 0.9, [0.9, 0.9]), (THING, 0.99, [0.85, 0.1]), min_kept_fraction=0)
    assert row(result) == [2, 1]


def test_ties_go_to_the_first_query():
    result = merge_row((THING, 0.9, [0.9] * 3), (THING, 0.9, [0.9] * 3), min_kept_fraction=0)
    assert row(result) == [1, 1, 1] and result.num_segments.item() == 1
    assert result.source[0].item() == 0


def test_no_object_and_unsure_queries_take_no_part():
    result = merge_row(
        (NO_OBJECT, 0.99, [0.9] * 2), (THING, 0.7, [0.9] * 2), (THING, 0.9, [0.6] * 2)
    )
    assert row(result) == [1, 1] and result.source.tolist()[:1] == [2]


def test_a_class_probability_equal_to_the_threshold_is_not_above_it():
    class_logits = torch.tensor([[0.0, -1000.0, 0.0]])  # exactly 1/2, 0, 1/2
    mask_logits = torch.ones(1, 1, 2)
    settings = {"thing_ids": [THING], "object_mask_threshold": 0.5}
    assert merge_panoptic_queries(class_logits, mask_logits, **settings).num_segments.item() == 0
    settings["object_mask_threshold"] = 0.49
    assert merge_panoptic_queries(class_logits, mask_logits, **settings).num_segments.item() == 1


def test_a_mask_probability_of_one_half_is_inside():
    result = merge_row((THING, 0.9, [0.5, 0.49]))
    assert row(result) == [1, 0]


def test_won_pixels_below_one_half_stay_void_but_count_as_won():
    # It wins 3 pixels and is inside at 2: 3 / 2 is kept, 2 pixels are painted.
    result = merge_row((THING, 0.9, [0.9, 0.9, 0.3]))
    assert row(result) == [1, 1, 0] and result.areas.tolist() == [2]


@pytest.mark.parametrize("fraction, kept", [(0.8, True), (0.81, False)])
def test_a_kept_fraction_equal_to_the_limit_stays(fraction, kept):
    # The second query is inside at 5 pixels and wins 4 of them: 4 / 5.
    rows = (THING, 0.99, [0.9] + [0.1] * 4), (THING, 0.9, [0.6] * 5)
    result = merge_row(*rows, min_kept_fraction=fraction)
    assert row(result) == [1] + [2 if kept else 0] * 4


def test_pixels_of_a_dropped_query_stay_void():
    rows = (THING, 0.9, [0.6] * 4), (THING, 0.99, [0.9] * 3 + [0.1])
    assert row(merge_row(*rows)) == [1, 1, 1, 0]


def test_stuff_of_one_class_is_one_segment_and_things_are_not():
    probs = [0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9]
    assert row(merge_row((STUFF, 0.9, probs[0]), (STUFF, 0.9, probs[1]))) == [1] * 4
    assert row(merge_row((THING, 0.9, probs[0]), (THING, 0.9, probs[1]))) == [1, 1, 2, 2]


def test_a_segment_after_fused_stuff_gets_a_new_id():
    # sky, car, sky, car: Hugging Face's loop gave ids 1, 2, 1, 2 (transformers #23461).
    order = (STUFF, THING, STUFF, THING)
    rows = [(c, 0.9, [0.9 if i == k else 0.1 for i in range(4)]) for k, c in enumerate(order)]
    result = merge_row(*rows)
    assert row(result) == [1, 2, 1, 3]
    assert result.category_ids.tolist() == [STUFF, THING, THING, -1]
    assert result.areas.tolist()[:3] == [2, 1, 1]
    assert result.source.tolist()[:3] == [-1, 1, 3]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", BATCH_SHAPES)
@pytest.mark.parametrize("upsampled", [False, True])
def test_random_scenes_as_the_oracle(size, batch, upsampled, device):
    rng = np.random.default_rng([*size, len(batch), upsampled])
    for _ in range(5 if upsampled else 12):
        count, num_classes = int(rng.integers(0, 7)), int(rng.integers(1, 5))
        scenes = [queries(rng, size, count, num_classes) for _ in range(np.prod(batch, dtype=int))]
        stacked = [np.stack(a).reshape(*batch, *a[0].shape) for a in zip(*scenes)]
        settings = {
            "thing_ids": list(range(rng.integers(0, num_classes + 1))),
            "object_mask_threshold": float(rng.choice([0.0, 0.5, 0.8])),
            "min_kept_fraction": float(rng.choice([0.0, 0.3, 0.5, 0.8, 1.0])),
        }
        if upsampled:
            settings["out_size"] = tuple(int(n) for n in rng.integers(1, 18, 2))
        result = merge_panoptic_queries(
            *(torch.from_numpy(a).to(device) for a in stacked), **settings
        )
        for found, scene in zip(images_of(result), scenes, strict=True):
            expect_segmentation(found, *slow_merge(*scene, **settings), capacity=count)


def test_upsampling_inside_equals_upsampling_before(device):
    rng = np.random.default_rng(0)
    class_logits, mask_logits = (
        torch.from_numpy(a).to(device) for a in queries(rng, (8, 12), 6, 3)
    )
    before = torch.nn.functional.interpolate(mask_logits[None], (20, 31), mode="bilinear")[0]
    settings = {"thing_ids": [0], "object_mask_threshold": 0.3, "min_kept_fraction": 0.3}
    ours = merge_panoptic_queries(class_logits, mask_logits, out_size=(20, 31), **settings)
    theirs = merge_panoptic_queries(class_logits, before, **settings)
    for a, b in zip(ours, theirs):
        assert torch.equal(a, b)


def test_golden_mask2former(device):
    for case in cases.npz_cases("mask2former"):
        result = merge_panoptic_queries(
            torch.from_numpy(case["class_logits"]).to(device),
            torch.from_numpy(case["mask_logits"]).to(device).float(),
            thing_ids=case["thing_classes"],
            object_mask_threshold=case["object_mask_threshold"],
            min_kept_fraction=case["overlap_threshold"],
        )
        assert np.array_equal(result.panoptic_seg.cpu().numpy(), case["panoptic_seg"])
        keys = ("id", "isthing", "category_id")
        assert [{k: s[k] for k in keys} for s in result.segments_info()] == case["segments_info"]


def test_inputs_are_read_only_and_may_be_strided(device):
    rng = np.random.default_rng(3)
    scene = [torch.from_numpy(a).to(device) for a in queries(rng, (8, 12), 6, 3)]
    before = [value.clone() for value in scene]
    settings = {"thing_ids": [0], "object_mask_threshold": 0.3}
    plain = merge_panoptic_queries(*scene, **settings)
    strided = [value.mT.contiguous().mT for value in scene]
    for a, b in zip(plain, merge_panoptic_queries(*strided, **settings)):
        assert torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(scene, before))


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"class_logits": torch.zeros(2, 4, dtype=torch.int64)}, TypeError, "^class_logits: "),
        ({"class_logits": torch.zeros(4)}, ValueError, "^class_logits: "),
        ({"mask_logits": torch.zeros(3, 5, 5)}, ValueError, "^mask_logits: "),
        ({"mask_logits": torch.zeros(2, 5, 5, dtype=torch.bool)}, TypeError, "^mask_logits: "),
        ({"mask_logits": torch.full((2, 5, 5), float("nan"))}, ValueError, "mask_logits: .*NaN"),
        ({"min_kept_fraction": -0.1}, ValueError, "^min_kept_fraction: .*-0.1"),
        ({"thing_ids": [0, 3]}, ValueError, r"^thing_ids: .*distinct class indices 0\.\.2.*3"),
        ({"thing_ids": torch.tensor([0, 3])}, ValueError, r"^thing_ids: .*0\.\.2.*3"),
        ({"thing_ids": torch.tensor([0, 0])}, ValueError, "^thing_ids: .*distinct"),
        ({"thing_ids": torch.tensor([[0]])}, ValueError, r"^thing_ids: .*\(K,\).*\(1, 1\)"),
        ({"out_size": (0, 5)}, ValueError, r"^out_size: expected \(H, W\).*\(0, 5\)"),
        ({"out_size": ()}, TypeError, r"^out_size: expected \(H, W\).*\(\)"),
        ({"out_size": (5, 5.0)}, TypeError, r"^out_size: .*5\.0"),
    ],
)
def test_wrong_arguments_are_named(change, error, match):
    arguments = {
        "class_logits": torch.zeros(2, 4),
        "mask_logits": torch.zeros(2, 5, 5),
        "thing_ids": [0],
    }
    with pytest.raises(error, match=match):
        merge_panoptic_queries(**{**arguments, **change}, validate=True)


def test_argmax_paints_weak_pixels_and_counts_as_before():
    rows = (THING, 0.9, [0.9, 0.8, 0.4, 0.3]), (STUFF, 0.9, [0.1, 0.1, 0.1, 0.9])
    assert row(merge_row(*rows)) == [1, 1, 0, 2]
    assert row(merge_row(*rows, paint="argmax")) == [1, 1, 1, 2]
    assert merge_row(*rows, paint="argmax").areas.tolist() == [3, 1]
    lost = (THING, 0.9, [0.9, 0.6, 0.6]), (THING, 0.95, [0.1, 0.9, 0.9])  # 1 of its 3 pixels
    assert row(merge_row(*lost, paint="argmax")) == [0, 1, 1]


def test_a_mask_threshold_decides_what_is_painted_and_what_is_kept():
    rows = (THING, 0.9, [0.9, 0.6, 0.6]), (THING, 0.95, [0.1, 0.1, 0.9])
    assert row(merge_row(*rows, mask_threshold=0.7)) == [1, 0, 2]
    assert row(merge_row(*rows, mask_threshold=0.5)) == [0, 0, 1]
    with pytest.raises(
        ValueError, match=r"paint: expected one of \('confident', 'argmax'\), found 1"
    ):
        merge_row(*rows, paint=1)
    with pytest.raises(TypeError, match="mask_threshold: expected a number"):
        merge_row(*rows, mask_threshold="0.5")


@pytest.mark.parametrize(
    ("paint", "mask_threshold"), [("argmax", 0.5), ("argmax", 0.3), ("confident", 0.65)]
)
def test_other_rules_of_painting_on_random_scenes(paint, mask_threshold):
    settings = {"paint": paint, "mask_threshold": mask_threshold, "thing_ids": [0, 2]}
    settings.update(object_mask_threshold=0.4, min_kept_fraction=0.5)
    num_segments = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        class_logits, mask_logits = queries(rng, (11, 13), 8, 4)
        out_size = (17, 23) if seed % 2 else None
        found = merge_panoptic_queries(
            torch.from_numpy(class_logits)[None], torch.from_numpy(mask_logits)[None],
            out_size=out_size, **settings,
        )  # fmt: skip
        expected = slow_merge(class_logits, mask_logits, out_size=out_size, **settings)
        (image,) = images_of(found)
        expect_segmentation(image, *expected, capacity=8)
        num_segments += len(expected[1])
    assert num_segments > 30

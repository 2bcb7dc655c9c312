"""The merge of masks in the frame of their boxes equals pasting and merge_panoptic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import merge_panoptic, merge_panoptic_boxes
from tests.factories import BATCH_SHAPES, boxed_instances, draw
from tests.golden import cases
from tests.merging.compare import expect_segmentation, images_of
from tests.oracles.merge_panoptic import merge_panoptic as slow_merge
from tests.oracles.paste_masks import paste_masks as slow_paste

NO_STUFF = {"stuff_ids": [], "score_threshold": 0.0}


def merge_one(mask, box, size=(1, 16), **settings) -> list[int]:
    """First row of one pasted mask on an empty image."""
    result = merge_panoptic_boxes(
        torch.zeros(size, dtype=torch.int64), torch.tensor(mask)[None], torch.tensor([box]),
        torch.tensor([0.9]), torch.tensor([26]), **{**NO_STUFF, **settings},
    )  # fmt: skip
    return result.panoptic_seg[0].tolist()


def test_a_full_mask_fills_its_box():
    assert merge_one([[1.0] * 2] * 2, [4.0, -100, 12, 300]) == [0] * 4 + [1] * 8 + [0] * 4


def test_a_sample_equal_to_the_threshold_belongs_to_the_mask():
    # Cells 1 and 0 on 8 pixels: the samples are 5, 7, 7, 5, 3, 1 eighths from the left edge on.
    mask, box = [[1.0, 0.0]] * 2, [4.0, -100, 12, 300]
    assert merge_one(mask, box, mask_threshold=0.625) == [0] * 4 + [1, 1, 1, 1] + [0] * 8
    assert merge_one(mask, box, mask_threshold=0.63) == [0] * 4 + [0, 1, 1, 0] + [0] * 8


def test_a_low_threshold_reaches_half_a_cell_beyond_the_box():
    # Samples 1/8 and 3/8 left of the box, as Detectron2 has them on the GPU (its CPU path stops
    # one pixel outside of the box).
    mask, box = [[1.0] * 2] * 2, [4.0, -100, 12, 300]
    assert merge_one(mask, box, mask_threshold=0.25) == [0] * 3 + [1] * 10 + [0] * 3
    assert merge_one(mask, box, mask_threshold=0.125) == [0] * 2 + [1] * 12 + [0] * 2


@pytest.mark.parametrize(
    "box", [[3.0, 0, 3, 1], [3.5, 0, 3.5, 1], [0.0, 2, 16, 2], [20.0, 0, 30, 1], [-9.0, 0, -1, 1]]
)
def test_a_box_without_area_or_outside_of_the_image_is_no_segment(box):
    assert merge_one([[1.0] * 7] * 7, box) == [0] * 16


@pytest.mark.parametrize("batch", BATCH_SHAPES)
@pytest.mark.parametrize("size", [(1, 9), (7, 1), (12, 16)])
def test_random_scenes_as_the_oracle(size, batch, device):
    """Samples within rounding of the threshold may fall either way: such scenes are left out."""
    rng = np.random.default_rng([*size, len(batch)])
    compared = 0
    for _ in range(6):
        count = int(rng.integers(0, 5))
        scenes, near_threshold = [], False
        for _ in range(np.prod(batch, dtype=int)):
            sem_seg = draw(rng, np.zeros(size, np.int64), [7, 8, 26], 4)
            probs, boxes = boxed_instances(rng, size, count)
            scores = rng.choice([0.25, 0.5, 0.75], count).astype(np.float32)
            scenes.append((sem_seg, probs, boxes, scores, rng.integers(24, 30, count)))
        stacked = [np.stack(arrays).reshape(*batch, *arrays[0].shape) for arrays in zip(*scenes)]
        settings = {"stuff_ids": [8, 7], "stuff_area_limit": 3, "overlap_threshold": 0.3}
        result = merge_panoptic_boxes(
            *(torch.from_numpy(a).to(device) for a in stacked), mask_threshold=0.5, **settings
        )
        for found, (sem_seg, probs, boxes, scores, classes) in zip(images_of(result), scenes):
            pasted = slow_paste(probs, boxes, *size)
            near_threshold = np.any(np.abs(pasted - 0.5) < 1e-5)
            if not near_threshold:
                expected = slow_merge(sem_seg, pasted >= 0.5, scores, classes, **settings)
                expect_segmentation(found, *expected, capacity=count + 2)
                compared += 1
    assert compared > 3


@pytest.mark.slow
def test_golden_detectron2_paste(device):
    """Masks differ from Detectron2's in at most 1e-4 of the pixels."""
    for case in cases.npz_cases("detectron2_paste"):
        height, width = case["sem_seg"].shape
        differing = 0
        for probs, box, pasted in zip(case["mask_probs"], case["boxes"], case["pasted"]):
            result = merge_panoptic_boxes(
                torch.zeros(height, width, dtype=torch.int64, device=device),
                *(torch.from_numpy(a[None]).to(device) for a in (probs, box)),
                torch.ones(1, device=device), torch.ones(1, dtype=torch.int64, device=device),
                mask_threshold=case["mask_threshold"], **NO_STUFF,
            )  # fmt: skip
            differing += np.sum((result.panoptic_seg.cpu().numpy() == 1) != pasted)
        assert differing <= 1e-4 * case["pasted"].size


def test_golden_detectron2_paste_and_combine(device):
    for case in cases.npz_cases("detectron2_paste"):
        names = ("sem_seg", "mask_probs", "boxes", "scores", "classes")
        keys = ("mask_threshold", "score_threshold", "overlap_threshold", "stuff_area_limit")
        stuff_ids = [label for label in np.unique(case["sem_seg"]).tolist() if label != 0]
        result = merge_panoptic_boxes(
            *(torch.from_numpy(case[name]).to(device) for name in names),
            stuff_ids=stuff_ids, **{k: case[k] for k in keys},
        )  # fmt: skip
        differs = result.panoptic_seg.cpu().numpy() != case["panoptic_seg"]
        assert differs.mean() <= 1e-4
        for ours, theirs in zip(result.segments_info(), case["segments_info"], strict=True):
            assert all(ours[k] == theirs[k] for k in ("id", "isthing", "category_id"))


def test_equals_merge_panoptic_of_the_golden_masks(device):
    case = next(cases.npz_cases("detectron2_paste"))
    names = ("sem_seg", "mask_probs", "boxes", "scores", "classes")
    sem_seg, probs, boxes, *rest = (torch.from_numpy(case[name]).to(device) for name in names)
    settings = {"stuff_ids": [1, 2, 3], "stuff_area_limit": 50}
    pasted = torch.from_numpy(case["pasted"]).to(device)
    ours = merge_panoptic_boxes(sem_seg, probs, boxes, *rest, **settings)
    theirs = merge_panoptic(sem_seg, pasted, *rest, **settings)
    assert (ours.panoptic_seg != theirs.panoptic_seg).double().mean() <= 1e-4
    assert torch.equal(ours.category_ids, theirs.category_ids)


def test_inputs_are_read_only_and_may_be_strided(device):
    case = next(cases.npz_cases("detectron2_paste"))
    names = ("sem_seg", "mask_probs", "boxes", "scores", "classes")
    scene = [torch.from_numpy(case[name]).to(device) for name in names]
    before = [value.clone() for value in scene]
    plain = merge_panoptic_boxes(*scene, stuff_ids=[1])
    strided = [v.mT.contiguous().mT for v in scene[:3]] + [
        v.repeat_interleave(2)[::2] for v in scene[3:]
    ]
    for a, b in zip(plain, merge_panoptic_boxes(*strided, stuff_ids=[1])):
        assert torch.equal(a, b)
    assert all(torch.equal(a, b) for a, b in zip(scene, before))


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"sem_seg": torch.zeros(4, 4)}, TypeError, "^sem_seg: "),
        ({"mask_probs": torch.zeros(2, 3, 4)}, ValueError, "^mask_probs: "),
        ({"mask_probs": torch.zeros(2, 3, 3, dtype=torch.int64)}, TypeError, "^mask_probs: "),
        ({"boxes": torch.zeros(2, 5)}, ValueError, "^boxes: "),
        ({"boxes": torch.zeros(1, 4)}, ValueError, "^boxes: "),
        ({"boxes": torch.full((2, 4), float("nan"))}, ValueError, "^boxes: .*NaN"),
        ({"scores": torch.full((2,), float("nan"))}, ValueError, "^scores: .*NaN"),
        ({"pred_classes": torch.zeros(2)}, TypeError, "^pred_classes: "),
        ({"mask_threshold": 0.0}, ValueError, "^mask_threshold: .*0.0"),
        ({"mask_threshold": "0.5"}, TypeError, "^mask_threshold: expected a number, found '0.5'"),
    ],
)
def test_wrong_arguments_are_named(change, error, match):
    arguments = {
        "sem_seg": torch.zeros(4, 4, dtype=torch.int64),
        "mask_probs": torch.zeros(2, 3, 3),
        "boxes": torch.zeros(2, 4),
        "scores": torch.zeros(2),
        "pred_classes": torch.zeros(2, dtype=torch.int64),
        "stuff_ids": [7],
    }
    with pytest.raises(error, match=match):
        merge_panoptic_boxes(**{**arguments, **change}, validate=True)

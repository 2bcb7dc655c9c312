"""Panoptic-DeepLab's grouping: each rule by hand, random scenes against the oracle and Detectron2.

Offsets are multiples of 1/4, so that squared distances are exact and equally near centres are.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pps_torch import CenterPanopticMerger, decode_labels, merge_panoptic_centers
from tests.factories import BATCH_SHAPES, SIZES, centers
from tests.merging.compare import expect_segmentation, images_of
from tests.oracles.merge_centers import merge_panoptic_centers as slow_merge
from tests.triton_support import needs_triton

CAR, ROAD, PERSON = 0, 1, 2
THINGS = [CAR, PERSON]


def merge_row(classes, heatmap, goals=None, **settings):
    """An image of one row: the class, the heat and the goal (an x) of each pixel."""
    logits = 9 * torch.nn.functional.one_hot(torch.tensor(classes), 3).T[:, None].float()
    goals = torch.arange(len(classes)) if goals is None else torch.tensor(goals)
    to_goal = goals - torch.arange(len(classes))
    offsets = torch.stack([torch.zeros_like(to_goal), to_goal])[:, None].float()
    settings = {"thing_ids": THINGS, "nms_kernel": 3, "stuff_area_limit": 1, **settings}
    return merge_panoptic_centers(logits, torch.tensor([[heatmap]]).float(), offsets, **settings)


def row(result) -> list[int]:
    return result.panoptic_seg[0].tolist()


def test_pixels_follow_their_offsets_to_the_nearest_center():
    goals = [0, 0, 4, 4, 3]
    result = merge_row([CAR] * 5, [0.9, 0, 0, 0, 0.8], goals)
    assert row(result) == [1, 1, 2, 2, 2]
    assert result.source.tolist()[:2] == [0, 4] and result.areas.tolist()[:2] == [2, 3]


def test_of_equally_near_centers_the_first_one():
    assert row(merge_row([CAR] * 5, [0.8, 0, 0, 0, 0.9], [2] * 5)) == [1] * 5


def test_only_local_maxima_are_centers_and_a_plateau_has_several():
    assert row(merge_row([CAR] * 4, [0.5, 0.9, 0.6, 0.2])) == [1] * 4
    result = merge_row([CAR] * 4, [0.9, 0.9, 0.3, 0.2])
    assert row(result) == [1, 2, 2, 2] and result.source.tolist()[:2] == [0, 1]
    assert row(merge_row([CAR] * 4, [0.9, 0, 0.8, 0], nms_kernel=5)) == [1] * 4


@pytest.mark.parametrize("threshold, expected", [(0.49, [1, 1]), (0.5, [0, 0])])
def test_heat_equal_to_the_threshold_is_no_center(threshold, expected):
    assert row(merge_row([CAR] * 2, [0.5, 0.25], center_threshold=threshold)) == expected


def test_heat_of_zero_is_no_center_whatever_the_threshold():
    assert row(merge_row([CAR] * 2, [0.0, 0.0], center_threshold=-2)) == [0, 0]


@pytest.mark.parametrize(
    "top_k, sources", [(1, []), (2, [4]), (3, [4]), (4, [0, 4, 8]), (5, [0, 2, 4, 8]), (99, None)]
)
def test_centers_above_the_top_k_th_best(top_k, sources):
    # 0.9, 0.7, 0.7, 0.5, 0.3: the k-th best one itself is out, and so is what equals it.
    result = merge_row([CAR] * 9, [0.7, 0, 0.5, 0, 0.9, 0, 0.3, 0, 0.7], top_k=top_k)
    found = [s for s in result.source.tolist() if s >= 0]
    assert found == (sources if sources is not None else [0, 2, 4, 6, 8])
    assert result.source.shape == (top_k + 1,)


def test_the_class_is_that_of_most_pixels_and_the_lowest_of_equals():
    heatmap = [0.9, 0, 0, 0]
    result = merge_row([CAR, PERSON, PERSON, ROAD], heatmap)
    assert result.category_ids.tolist()[:2] == [PERSON, ROAD] and row(result) == [1, 1, 1, 2]
    assert merge_row([PERSON, PERSON, CAR, CAR], heatmap).category_ids[0].item() == CAR


def test_a_center_on_stuff_counts_and_one_without_pixels_is_no_segment():
    result = merge_row([ROAD, CAR, CAR, CAR], [0.9, 0, 0.8, 0], [0, 0, 0, 0])
    assert row(result) == [2, 1, 1, 1] and result.num_segments.item() == 2


def test_without_a_center_things_are_void():
    result = merge_row([CAR, ROAD], [0.0, 0.0])
    assert row(result) == [0, 1] and result.category_ids.tolist()[:2] == [ROAD, -1]


@pytest.mark.parametrize("limit, kept", [(2, True), (3, False)])
def test_stuff_of_exactly_the_area_limit_stays(limit, kept):
    result = merge_row([CAR, ROAD, ROAD], [0.9, 0, 0], stuff_area_limit=limit)
    assert row(result) == ([1, 2, 2] if kept else [1, 0, 0])


def test_the_score_is_the_mean_probability_times_the_heat_at_the_mean_position():
    logits = torch.tensor([[[9.0, 9.0, 0.0, 0.0]], [[-9.0, -9.0, 9.0, 9.0]]])
    heatmap = torch.tensor([[[0.75, 0.25, 0.0, 0.0]]])  # pixels 0 and 1: mean position 0.5 -> 0
    result = merge_panoptic_centers(
        logits, heatmap, torch.zeros(2, 1, 4), thing_ids=[0], stuff_area_limit=1
    )
    expected = torch.tensor(18.0).sigmoid() * 0.75
    assert result.scores[0].item() == pytest.approx(expected.item(), abs=1e-6)
    assert result.scores[1].item() == 0 and result.is_thing.tolist()[:2] == [True, False]


def random_settings(rng: np.random.Generator, num_classes: int) -> dict:
    things = rng.permutation(num_classes)[: rng.integers(0, num_classes + 1)]
    return {
        "thing_ids": things.tolist(),
        "center_threshold": float(rng.choice([0.0, 0.1, 0.25])),
        "nms_kernel": int(rng.choice([1, 3, 5, 7])),
        "top_k": int(rng.choice([2, 3, 5, 200])),
        "stuff_area_limit": int(rng.choice([0, 1, 5, 30])),
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_random_scenes_as_the_oracle(size, batch, device):
    rng = np.random.default_rng([*size, len(batch)])
    for _ in range(4):
        num_classes = int(rng.integers(1, 6))
        settings = random_settings(rng, num_classes)
        scenes = [centers(rng, size, num_classes) for _ in range(np.prod(batch, dtype=int))]
        heads = (np.stack(a).reshape(*batch, *a[0].shape) for a in zip(*scenes))
        result = merge_panoptic_centers(
            *(torch.from_numpy(a).to(device) for a in heads), **settings
        )
        capacity = settings["top_k"] + num_classes - len(settings["thing_ids"])
        for found, heads in zip(images_of(result), scenes, strict=True):
            expect_segmentation(found, *slow_merge(*heads, **settings), capacity=capacity)


def detectron2_grouping():
    """Detectron2's `get_panoptic_segmentation`; the project's file needs nothing but torch."""
    detectron2 = pytest.importorskip("detectron2")
    project = Path(detectron2.__file__).parents[1] / "projects" / "Panoptic-DeepLab"
    path = project / "panoptic_deeplab" / "post_processing.py"
    if not path.is_file():
        pytest.skip(f"needs Detectron2's sources with their projects, has no {path}")
    spec = importlib.util.spec_from_file_location("post_processing", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_panoptic_segmentation


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("exact", [True, False])
def test_random_scenes_as_detectron2(exact, device):
    grouping = detectron2_grouping()
    for seed in range(60):
        expect_labels_of_detectron2(grouping, seed, exact, device)


def expect_labels_of_detectron2(grouping, seed, exact, device):
    rng = np.random.default_rng([seed, exact])
    num_classes = int(rng.integers(1, 7))
    size = tuple(rng.integers(15, 60, 2).tolist())
    heads = [torch.from_numpy(a).to(device) for a in centers(rng, size, num_classes)]
    if not exact:
        heads[1], heads[2] = torch.rand_like(heads[1]), torch.randn_like(heads[2]) * 9
    settings = random_settings(rng, num_classes)
    ours = merge_panoptic_centers(*heads, **settings)
    theirs, _ = grouping(
        heads[0].argmax(0, keepdim=True), *heads[1:], settings["thing_ids"], label_divisor=1000,
        stuff_area=settings["stuff_area_limit"], void_label=-1,
        threshold=settings["center_threshold"], nms_kernel=settings["nms_kernel"],
        top_k=settings["top_k"],
    )  # fmt: skip
    # A class's instances count up in the order of the segments: the same labels, not only regions.
    labels = [-1]
    for category, is_thing in zip(ours.category_ids.tolist(), ours.is_thing.tolist()):
        instance = sum(label // 1000 == category for label in labels) + 1
        labels.append(category * 1000 + (instance if is_thing else 0))
    found = torch.tensor(labels, device=device)[ours.panoptic_seg.long()]
    assert torch.equal(found, theirs[0])
    expected = {label // 1000 for label in theirs.unique().tolist() if label >= 0}
    assert set(decode_labels(found, 1000, "category_major")[0].unique().tolist()) - {-1} == expected


def test_upsampling_inside_equals_upsampling_before(device):
    rng = np.random.default_rng(0)
    heads = [torch.from_numpy(a).to(device) for a in centers(rng, (8, 12), 4)]
    # The kernels upsample by themselves, as F.interpolate up to rounding; plain torch calls it.
    settings = {"thing_ids": [0, 2], "nms_kernel": 3, "stuff_area_limit": 9, "backend": "torch"}
    before = [
        torch.nn.functional.interpolate(head[None], (20, 31), mode="bilinear")[0] for head in heads
    ]
    ours = merge_panoptic_centers(*heads, out_size=(20, 31), **settings)
    theirs = merge_panoptic_centers(*before, **settings)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@needs_triton
def test_both_backends_agree(device):
    heads = [torch.from_numpy(a).to(device) for a in centers(np.random.default_rng(4), (9, 14), 4)]
    settings = {"thing_ids": [0, 2], "nms_kernel": 3, "top_k": 9, "stuff_area_limit": 5}
    found = merge_panoptic_centers(*heads, backend="triton", **settings)
    expected = merge_panoptic_centers(*heads, backend="torch", **settings)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    with pytest.raises(ValueError, match="^backend: .*cuda"):
        CenterPanopticMerger([0], backend="cuda")


def test_the_module_is_the_function_with_settings(device):
    heads = [torch.from_numpy(a).to(device) for a in centers(np.random.default_rng(2), (12, 16), 4)]
    settings = {"center_threshold": 0.2, "nms_kernel": 3, "top_k": 6, "stuff_area_limit": 9}
    merger = CenterPanopticMerger([0, 2], **settings)
    expected = functools.partial(merge_panoptic_centers, thing_ids=[0, 2], **settings)(*heads)
    for twin in (merger, copy.deepcopy(merger), pickle.loads(pickle.dumps(merger))):
        found = twin.to(device)(*heads)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert merger.state_dict() == {} and list(merger.parameters()) == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_dtypes(dtype):
    heads = [torch.from_numpy(a).to(dtype) for a in centers(np.random.default_rng(3), (12, 16), 4)]
    settings = {"thing_ids": [0, 2], "nms_kernel": 3, "stuff_area_limit": 9}
    found = merge_panoptic_centers(*heads, **settings)
    assert torch.equal(
        found.panoptic_seg,
        merge_panoptic_centers(*(h.double() for h in heads), **settings).panoptic_seg,
    )


HEADS = tuple(torch.zeros(shape) for shape in ((3, 4, 5), (1, 4, 5), (2, 4, 5)))


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"sem_seg_logits": torch.zeros(4, 5)}, ValueError, "^sem_seg_logits: .*C, h, w"),
        ({"sem_seg_logits": torch.zeros(3, 4, 5).int()}, TypeError, "^sem_seg_logits: .*floating"),
        ({"sem_seg_logits": torch.zeros(0, 4, 5)}, ValueError, "^sem_seg_logits: .*a class and"),
        ({"center_heatmap": torch.zeros(4, 5)}, ValueError, r"^center_heatmap: .*\(1, 4, 5\)"),
        ({"offsets": torch.zeros(1, 4, 5)}, ValueError, r"^offsets: .*\(2, 4, 5\)"),
        ({"offsets": torch.full((2, 4, 5), torch.nan)}, ValueError, "^offsets: .*40 NaN"),
        ({"thing_ids": [0, 3]}, ValueError, r"^thing_ids: .*0\.\.2.*3"),
        ({"thing_ids": torch.tensor([1, 1])}, ValueError, "^thing_ids: .*distinct"),
        ({"nms_kernel": 4}, ValueError, "^nms_kernel: .*odd.*4"),
        ({"thing_ids": torch.tensor([[1]])}, ValueError, r"^thing_ids: .*\(K,\).*\(1, 1\)"),
        ({"out_size": (8, -1)}, ValueError, r"^out_size: .*\(8, -1\)"),
        ({"out_size": ()}, TypeError, r"^out_size: .*\(\)"),
        ({"nms_kernel": 3.0}, TypeError, "^nms_kernel: expected an int, found 3.0"),
        ({"top_k": 0}, ValueError, "^top_k: .*0"),
        ({"top_k": 2.0}, TypeError, "^top_k: expected an int, found 2.0"),
        (
            {"center_threshold": "0.1"},
            TypeError,
            "^center_threshold: expected a number, found '0.1'",
        ),
        ({"center_threshold": float("nan")}, ValueError, "^center_threshold: "),
    ],
)
def test_bad_input_is_named(change, error, match):
    names = ("sem_seg_logits", "center_heatmap", "offsets")
    arguments = {**dict(zip(names, HEADS)), "thing_ids": [0], **change}
    with pytest.raises(error, match=match):
        merge_panoptic_centers(**arguments)


def test_unchecked_nan_offsets_still_give_a_center_that_exists():
    heads = [*HEADS[:2], torch.full((2, 4, 5), torch.nan)]
    heads[1] = heads[1].clone()
    heads[1][0, 2, 2] = 0.9
    found = merge_panoptic_centers(*heads, thing_ids=[0], validate=False)
    assert found.panoptic_seg.unique().tolist() == [1] and found.source[0].item() == 12

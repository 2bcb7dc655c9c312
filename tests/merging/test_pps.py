"""Panoptic and part maps become [scene class, instance, part]."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, PanopticSegmentation, merge_panoptic, merge_pps
from tests.factories import BATCH_SHAPES, INTEGER_DTYPES, SIZES, draw, specs
from tests.golden import cases
from tests.merging.scenes import stack_segmentations
from tests.oracles.merge_pps import merge_pps as slow_merge

ROAD, PERSON, CAR = 7, 24, 26


def merge_row(ids, categories, parts, spec="cpp_default"):
    """Channels of a row: segment k is of class categories[k - 1], parts are flat ids."""
    segments = [{"id": k, "category_id": c} for k, c in enumerate(categories, start=1)]
    panoptic = PanopticSegmentation.from_segments(torch.tensor([ids]), segments)
    pps = merge_pps(panoptic, torch.tensor([parts]), specs()[spec])
    assert pps.dtype == torch.int32 and pps.shape == (3, 1, len(ids))
    return pps[:, 0].tolist()


def test_instances_count_up_within_a_class_in_segment_order():
    sids, iids, _ = merge_row([4, 3, 2, 1], [CAR, ROAD, CAR, PERSON], [0] * 4)
    assert sids == [PERSON, CAR, ROAD, CAR]
    assert iids == [1, 2, 1, 1]


def test_void_is_255_0_0():
    assert merge_row([0, 1], [CAR], [9, 9]) == [[255, CAR], [0, 1], [0, 1]]


def test_flat_parts_become_parts_of_their_class():
    # cpp_default: person 1..4, car 9..13
    _, _, pids = merge_row([1, 1, 2, 2], [PERSON, CAR], [1, 4, 9, 13])
    assert pids == [1, 4, 1, 5]


def test_a_flat_part_shared_by_classes_is_looked_up_in_each():
    # cpp_grouped: 5..9 are the parts of any vehicle
    _, _, pids = merge_row([1, 2, 1, 2], [CAR, 28], [5, 5, 9, 9], spec="cpp_grouped")
    assert pids == [1, 1, 5, 5]


@pytest.mark.parametrize("part", [0, 9, 24, 99, 255, 70_000, -1])
def test_a_part_that_the_class_cannot_have_is_void(part):
    assert merge_row([1], [PERSON], [part])[2] == [255]


def test_a_class_without_parts_stores_part_1_whatever_the_part_map_says():
    assert merge_row([1, 1, 1], [ROAD], [0, 9, 255])[2] == [1, 1, 1]


def test_more_than_255_instances_keep_counting():
    # panoptic_parts stops with a ValueError, as its uint8 PNG holds no more.
    ids = list(range(1, 301))
    assert merge_row(ids, [CAR] * 300, [9] * 300)[1] == ids


@pytest.mark.parametrize("spec_name", [*cases.SPECS, "ppp_107"])
@pytest.mark.parametrize("batch", BATCH_SHAPES)
def test_random_scenes_as_the_oracle(spec_name, batch, device):
    spec = specs()[spec_name]
    rng = np.random.default_rng(len(batch))
    highest = max(spec.eval_sid_pid_to_flat.values())
    for size in SIZES:
        for _ in range(2):
            count, images = int(rng.integers(0, 7)), np.prod(batch, dtype=int)
            panoptic = [
                draw(rng, np.zeros(size, np.int32), range(count + 1), 6) for _ in range(images)
            ]
            pool = [*rng.choice(spec.eval_sids, 2), *rng.choice(spec.parts, 2)]
            categories = [rng.choice(pool, count).tolist() for _ in range(images)]
            parts = [rng.choice([*range(highest + 1), 255], size) for _ in range(images)]
            found = merge_pps(
                stack_segmentations(panoptic, categories, batch, device),
                torch.from_numpy(np.reshape(parts, (*batch, *size))).to(device),
                spec,
            )
            assert found.dtype == torch.int32 and found.shape == (*batch, 3, *size)
            for image, *scene in zip(found.reshape(-1, 3, *size), panoptic, categories, parts):
                assert np.array_equal(image.cpu().numpy(), slow_merge(*scene, spec))


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_parts_of_any_integer_dtype_read_only_and_strided(dtype, device):
    spec = EvalSpec.load("cpp_default")
    rng = np.random.default_rng(2)
    panoptic = draw(rng, np.zeros((9, 14), np.int32), range(4), 6)
    parts = rng.integers(0, 25, (9, 14))
    segmentation = stack_segmentations([panoptic], [[CAR, PERSON, ROAD]], (), device)
    part_seg = torch.from_numpy(parts).to(device, dtype)
    before = [value.clone() for value in (*segmentation, part_seg)]
    strided = segmentation._replace(panoptic_seg=segmentation.panoptic_seg.mT.contiguous().mT)
    expected = slow_merge(panoptic, [CAR, PERSON, ROAD], parts, spec)
    assert np.array_equal(merge_pps(segmentation, part_seg, spec).cpu(), expected)
    assert np.array_equal(merge_pps(strided, part_seg.mT.contiguous().mT, spec).cpu(), expected)
    assert all(torch.equal(a, b) for a, b in zip((*segmentation, part_seg), before))


@pytest.mark.parametrize("spec_name", cases.SPECS)
def test_golden_from_heads_to_pps(spec_name, device):
    spec = EvalSpec.load(spec_name)
    for case in cases.merging_images(spec_name, "COCO"):
        arrays = (case[name] for name in ("sem_seg", "masks", "scores", "classes"))
        panoptic = merge_panoptic(
            *(torch.from_numpy(a).to(device) for a in arrays),
            stuff_ids=spec.stuff, stuff_area_limit=1024,
        )  # fmt: skip
        pps = merge_pps(panoptic, torch.from_numpy(case["parts"]).to(device), spec)
        assert np.array_equal(pps.cpu().numpy(), case["pps"])


@pytest.mark.slow
def test_real_cityscapes_image_from_heads_to_pps(real_images):
    folder, name = real_images / "cpp", "aachen_000012_000019"
    predictions = folder / "predictions"
    spec = EvalSpec.load("cpp_default")
    sem_seg = cases.read_image(predictions / "semantic" / f"{name}_semantic.png")
    parts = cases.read_image(predictions / "parts" / f"{name}_parts.png")
    found = cases.coco_instances(predictions / "instances_coco.json", name, sem_seg.shape)
    inputs = (torch.from_numpy(array) for array in (sem_seg, *found))
    panoptic = merge_panoptic(*inputs, stuff_ids=spec.stuff, stuff_area_limit=1024)
    expected = folder / "expected"
    categories = cases.read_json(expected / "expected.json")["panoptic_categories"]
    ours = {info["id"]: info["category_id"] for info in panoptic.segments_info()}
    ids, ours = cases.number_by_first_appearance(panoptic.panoptic_seg.numpy(), ours)
    assert np.array_equal(ids, cases.read_image(expected / f"{name}_panoptic.tif"))
    assert ours == {int(k): v for k, v in categories.items()}
    pps = merge_pps(panoptic, torch.from_numpy(parts), spec)
    reference = cases.read_image(expected / f"{name}_pps.png")
    assert np.array_equal(pps.permute(1, 2, 0).numpy(), reference)


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"part_seg": torch.zeros(2, 3)}, TypeError, "^part_seg: "),
        ({"part_seg": torch.zeros(3, 2, dtype=torch.int64)}, ValueError, r"\(3, 2\).*\(2, 3\)"),
        ({"panoptic_seg": torch.full((2, 3), 2, dtype=torch.int32)}, ValueError, "0..1.*2"),
        ({"panoptic_seg": torch.full((2, 3), -1, dtype=torch.int32)}, ValueError, "-1"),
        ({"category_ids": torch.tensor([26.9])}, TypeError, "^panoptic.category_ids: "),
        ({"category_ids": torch.tensor([[26], [26]])}, ValueError, r"\(1,\), found \(2, 1\)"),
        ({"category_ids": torch.tensor([2**32 + 7])}, ValueError, "below 2.*4294967303"),
    ],
)
def test_wrong_arguments_are_named(change, error, match):
    change = dict(change)
    segmentation = stack_segmentations([np.ones((2, 3), np.int32)], [[CAR]], (), "cpu")
    part_seg = change.pop("part_seg", torch.zeros(2, 3, dtype=torch.int64))
    segmentation = segmentation._replace(**change)
    with pytest.raises(error, match=match):
        merge_pps(segmentation, part_seg, EvalSpec.load("cpp_default"), validate=True)


def test_what_is_no_panoptic_segmentation_and_no_spec_is_named():
    ids, part_seg = torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)
    spec = EvalSpec.load("cpp_default")
    with pytest.raises(
        TypeError, match="^panoptic: expected a PanopticSegmentation .* found tuple"
    ):
        merge_pps((ids, []), part_seg, spec)
    with pytest.raises(
        TypeError, match=r"^spec: expected an EvalSpec \(EvalSpec.load .* found str"
    ):
        merge_pps(PanopticSegmentation.from_segments(ids, []), part_seg, "cpp_default")

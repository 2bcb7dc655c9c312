"""PartPanopticQuality against its oracle, the golden cases and a real image; what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pps_torch import EvalSpec, PartPanopticQuality
from tests.factories import BATCH_SHAPES, INTEGER_DTYPES, SIZES, pps_pair, specs, split_batches
from tests.golden import cases
from tests.oracles.panoptic_quality import add_stats, average, qualities
from tests.oracles.part_panoptic_quality import part_panoptic_quality as slow_quality

SPECS = specs()


def narrowest(rng: np.random.Generator, values: torch.Tensor) -> torch.Tensor:
    """The same numbers in a random integer dtype that can hold them."""
    fits = [d for d in INTEGER_DTYPES if int(values.max()) <= torch.iinfo(d).max]
    return values.to(fits[rng.integers(len(fits))])


def stack(arrays, batch: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays)).reshape(*batch, *arrays[0].shape)


def expect_stats(metric: PartPanopticQuality, stats: dict[int, list], tolerance: float = 1e-12):
    """Equal counts for each class; IoU sums, qualities and means within the tolerance."""
    result, spec = metric.compute(), metric.spec
    assert tuple(result.per_class) == spec.eval_sids
    for sid, row in result.per_class.items():
        iou, *counts = stats[sid]
        assert [row["tp"], row["fp"], row["fn"]] == counts, sid
        assert row["iou"] == pytest.approx(iou, abs=tolerance * max(1, counts[0]))
        found = (row["PartPQ"], row["PartSQ"], row["PartRQ"])
        assert found == pytest.approx(qualities(iou, *counts), abs=tolerance)
    groups = (
        ("", "n", spec.eval_sids),
        ("_parts", "n_p", spec.parts),
        ("_noparts", "n_np", spec.no_parts),
    )
    for suffix, n, members in groups:
        keys = [f"PartPQ{suffix}", f"PartSQ{suffix}", f"PartRQ{suffix}", n]
        found = tuple(result.summary[key] for key in keys)
        assert found == pytest.approx(average(stats, members), abs=tolerance, nan_ok=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("spec_name", SPECS)
def test_random_scenes_as_the_oracle(spec_name, size, device):
    spec, rng = SPECS[spec_name], np.random.default_rng(size)
    for batch in BATCH_SHAPES:
        pairs = [pps_pair(rng, size, spec) for _ in range(np.prod(batch, dtype=int))]
        pps, uids = (narrowest(rng, stack(column, batch)).to(device) for column in zip(*pairs))
        expected = {}
        for pair in pairs:
            add_stats(expected, slow_quality(*pair, spec))
        expect_stats(PartPanopticQuality(spec).to(device).update(pps, uids), expected)


def test_any_split_and_order_gives_the_same_bits():
    rng, spec = np.random.default_rng(1), SPECS["remapped"]
    pairs = [pps_pair(rng, (9, 14), spec) for _ in range(30)]
    pps, uids = (stack(column, (30,)) for column in zip(*pairs))
    whole = PartPanopticQuality(spec).update(pps, uids)
    for _ in range(5):
        order = torch.from_numpy(rng.permutation(30))
        metrics = [PartPanopticQuality(spec) for _ in range(2)]
        for i, piece in enumerate(split_batches(rng, 30)):
            metrics[i % 2].update(pps[order[piece]], uids[order[piece]])
        merged = metrics[1].merge_state(metrics[0])
        assert merged.compute() == whole.compute()
        for name, value in whole.state_dict().items():
            assert torch.equal(merged.state_dict()[name], value)


def test_many_images_stay_within_rounding():
    """120 images in one state: the sum of IoUs does not drift."""
    rng, spec, expected = np.random.default_rng(2), SPECS["cpp_default"], {}
    metric = PartPanopticQuality(spec)
    for _ in range(6):
        pairs = [pps_pair(rng, (6, 6), spec) for _ in range(20)]
        metric.update(*(stack(column, (20,)) for column in zip(*pairs)))
        for pair in pairs:
            add_stats(expected, slow_quality(*pair, spec))
    expect_stats(metric, expected)


def test_inputs_are_read_only_and_may_be_strided(device):
    rng, spec = np.random.default_rng(3), SPECS["cpp_default"]
    pairs = [pps_pair(rng, (9, 14), spec) for _ in range(4)]
    pps, uids = (stack(column, (4,)).to(device) for column in zip(*pairs))
    before = pps.clone(), uids.clone()
    plain = PartPanopticQuality(spec).to(device).update(pps, uids)
    assert torch.equal(pps, before[0]) and torch.equal(uids, before[1])
    channels_last = pps.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    strided = PartPanopticQuality(spec).to(device).update(channels_last, uids.mT.contiguous().mT)
    assert strided.compute() == plain.compute()


def test_an_update_with_no_image_counts_nothing():
    none = PartPanopticQuality(SPECS["cpp_default"])
    none.update(torch.zeros(0, 3, 4, 5).long(), torch.zeros(0, 4, 5).long())
    assert math.isnan(none.compute().summary["PartPQ"])


# Reference answers


@pytest.mark.parametrize("spec_name", cases.SPECS)
def test_golden_panoptic_parts(spec_name, device):
    spec = EvalSpec.load(spec_name)
    total = PartPanopticQuality(spec).to(device)
    for _, pps, uids, expected in cases.part_pq_images(spec_name):
        image = torch.from_numpy(pps.copy()).to(device), torch.from_numpy(uids).to(device)
        expect_stats(PartPanopticQuality(spec).to(device).update(*image), expected, 1e-9)
        total.update(*image)
    answer = cases.part_pq_total(spec_name)
    result = total.compute()
    for group in answer["summary"]:
        found = {key: result.summary[key] for key in group}
        assert found == pytest.approx(group, abs=1e-9)
    for sid, expected_row in answer["per_sid"].items():
        row = result.per_class[int(sid)]
        assert {key: row[key] for key in expected_row} == pytest.approx(expected_row, abs=1e-9)


def test_real_cityscapes_image(real_images):
    folder = real_images / "cpp"
    name = "aachen_000012_000019"
    expected = cases.read_json(folder / "expected" / "expected.json")
    pps = np.moveaxis(cases.read_image(folder / "expected" / f"{name}_pps.png"), -1, 0)
    uids = folder / "gtFinePanopticParts" / "aachen" / f"{name}_gtFinePanopticParts.tif"
    metric = PartPanopticQuality(EvalSpec.load("cpp_default"))
    metric.update(
        torch.from_numpy(pps.copy()), torch.from_numpy(cases.read_image(uids).astype(np.int32))
    )
    expect_stats(metric, {int(k): v for k, v in expected["iou_tp_fp_fn"].items()}, 1e-9)


# What is refused

CPP = SPECS["cpp_default"]


def one_image(pps=((26,), (1,), (1,)), uids=(26_001_01,)):
    """A row of pixels."""
    return torch.tensor(pps)[:, None], torch.tensor(uids)[None]


@pytest.mark.parametrize(
    "change, match",
    [
        ({"uids": [260]}, "1 pixels of target with a negative or three-digit uid"),
        ({"uids": [-26_001_01]}, "1 pixels of target with a negative or three-digit uid"),
        ({"uids": [26_009_01]}, "1 pixels of target with an instance id above the capacity, 3"),
        ({"pps": [[26], [9], [1]]}, "1 pixels of pred with an instance id outside 0..3"),
        ({"pps": [[26], [-1], [1]]}, "1 pixels of pred with an instance id outside 0..3"),
        ({"pps": [[26], [1], [256]]}, "1 pixels of pred with a part outside 0..255"),
        ({"pps": [[26], [1], [-1]]}, "1 pixels of pred with a part outside 0..255"),
        (
            {"pps": [[24, 25, 26, 27], [1] * 4, [1] * 4], "uids": [0] * 4},
            "1 segments of pred above the capacity",
        ),
        (
            {"pps": [[7] * 4, [1] * 4, [1] * 4], "uids": [7, 8, 11, 12]},
            "1 segments of target above the capacity",
        ),
    ],
)
def test_values_are_counted_and_raised_at_compute(change, match, device):
    image = [value.to(device) for value in one_image(**change)]
    metric = PartPanopticQuality(CPP, capacity=3).to(device)
    metric.update(*image)
    with pytest.raises(ValueError, match=match):
        metric.compute()
    with pytest.raises(ValueError, match=match):
        PartPanopticQuality(CPP, capacity=3, validate=True).to(device).update(*image)
    with pytest.raises(ValueError) as caught:
        metric.compute()
    names_remedy = "; a higher capacity= makes room" in str(caught.value)
    assert names_remedy == ("instance id" in match or "segments" in match)
    metric.reset().update(*(value.to(device) for value in one_image()))
    assert metric.compute().summary["PartPQ"] == 1.0


@pytest.mark.parametrize("level", [3, 4])
def test_the_capacity_is_the_highest_instance_id_in_both_maps(level):
    pps, uids = one_image([[33], [level], [1]], [33_000 + level])
    metric = PartPanopticQuality(CPP, capacity=3).update(pps, uids)
    if level <= 3:
        assert metric.compute().per_class[33]["tp"] == 1
    else:
        with pytest.raises(ValueError, match="target.*; .*pred"):
            metric.compute()


def test_instance_ids_and_parts_of_what_is_void_do_not_matter():
    pps, uids = one_image([[255, 7], [5000, 1], [-3, 900]], [0, 7])
    metric = PartPanopticQuality(CPP, capacity=3).update(pps, uids)
    assert metric.compute().summary["PartPQ"] == 1.0


def test_ground_truth_ids_that_the_spec_does_not_know_are_void():
    pps, uids = one_image([[7, 26], [1, 1], [1, 1]], [7, 98_001_01])
    assert PartPanopticQuality(CPP).update(pps, uids).compute().summary["n"] == 1


@pytest.mark.parametrize(
    "pps, uids, error, match",
    [
        (torch.zeros(3, 4, 4), torch.zeros(4, 4).long(), TypeError, "^pred: .*float"),
        (torch.zeros(3, 4, 4).long(), torch.zeros(4, 4), TypeError, "^target: .*float"),
        (torch.zeros(2, 4, 4).long(), torch.zeros(4, 4).long(), ValueError, "^pred: "),
        (torch.zeros(4, 4, 3).long(), torch.zeros(4, 4).long(), ValueError, "^pred: "),
        (torch.zeros(3, 4, 4).long(), torch.zeros(4, 5).long(), ValueError, "^pred: "),
        (torch.zeros(3, 4).long(), torch.zeros(4).long(), ValueError, "^target: "),
        (torch.zeros(2, 3, 4, 4).long(), torch.zeros(3, 4, 4).long(), ValueError, "^pred: "),
        (np.zeros((3, 4, 4), int), torch.zeros(4, 4).long(), TypeError, "^pred: .*ndarray"),
    ],
)
def test_wrong_shapes_and_types_are_named(pps, uids, error, match):
    with pytest.raises(error, match=match):
        PartPanopticQuality(CPP).update(pps, uids)


def test_a_capacity_below_one_is_refused():
    with pytest.raises(TypeError, match="^capacity: expected an int, found 10.5"):
        PartPanopticQuality(CPP, capacity=10.5)
    with pytest.raises(ValueError, match="^capacity: .*0"):
        PartPanopticQuality(CPP, capacity=0)

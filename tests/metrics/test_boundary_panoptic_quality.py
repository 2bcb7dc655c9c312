"""Boundary PQ: by hand, against its oracle, and against numbers of boundary-iou-api.

The golden numbers were printed by boundary-iou-api 37d2558 (`pq_compute_single_core` with
`iou_type="boundary"`, OpenCV 4.11) for the scenes of `cells.py`, with all segment ids times
1000, out of reach of the id that it gives to interiors.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from pps_torch import BoundaryPanopticQuality, ModifiedPanopticQuality, PanopticQuality
from pps_torch.metrics.boundary_panoptic_quality import boundary_distance
from tests.factories import CATEGORIES, SIZES, panoptic_pair
from tests.metrics import cells
from tests.metrics.scenes import as_tensors, stack
from tests.oracles.boundary_quality import boundary_quality

#: ((height, width), ratio) -> {category: (iou, tp, fp, fn)}
GOLDEN = {
    ((60, 90), 0.02): {
        1: (1.070744014358766, 2, 2, 2),
        2: (1.8310478481689387, 3, 2, 1),
        3: (0.75, 1, 3, 4),
        4: (1.7271772308866313, 3, 2, 3),
    },
    ((60, 90), 0.05): {
        1: (2.3131794159679835, 3, 1, 1),
        2: (3.0079850612451846, 4, 1, 0),
        3: (0.86, 1, 3, 4),
        4: (2.9061078506616096, 4, 1, 2),
    },
    ((75, 64), 0.1): {
        1: (1.271754729288976, 2, 2, 2),
        2: (1.242200939966303, 2, 4, 2),
        3: (0.0, 0, 4, 5),
        4: (0.5257452574525745, 1, 4, 5),
    },
}
KEYS = ("boundary_iou", "boundary_tp", "boundary_fp", "boundary_fn")


def boundary_counts(row) -> list:
    return [row[key] for key in KEYS]


def square(low: int, high: int, size: int = 20) -> np.ndarray:
    """A map with segment 1 on rows and columns low..high-1 and segment 2 elsewhere."""
    ids = np.full((size, size), 2)
    ids[low:high, low:high] = 1
    return ids


def score(pred: np.ndarray, gt: np.ndarray, categories=(1, 3), **options):
    """Both maps with segments 1 and 2 (if there) of these categories, boundary of one pixel."""
    halves = []
    for ids in (pred, gt):
        infos = [
            {"id": i, "category_id": c, "iscrowd": 0}
            for i, c in zip((1, 2), categories)
            if (ids == i).any()
        ]
        halves += [ids, infos]
    metric = BoundaryPanopticQuality(CATEGORIES, **options)
    return metric.update(*as_tensors(halves, None)).compute()


@pytest.mark.parametrize("shape, ratio", GOLDEN)
def test_as_boundary_iou_api(shape, ratio, device):
    images = as_tensors(cells.cell_pair(*shape), None)
    metric = BoundaryPanopticQuality(cells.CATEGORIES, dilation_ratio=ratio).to(device)
    metric.update(*(type(v)(*(f.to(device) for f in v)) for v in images))
    for category, expected in GOLDEN[shape, ratio].items():
        row = metric.compute().per_class[category]
        assert boundary_counts(row) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ratio", [pytest.param(0.02, marks=pytest.mark.slow), 0.2])
def test_random_scenes_as_the_oracle(ratio, device):
    rng = np.random.default_rng(int(100 * ratio))
    for size in SIZES:
        distance = max(1, round(ratio * np.sqrt(size[0] ** 2 + size[1] ** 2)))
        for _ in range(4):
            pairs = [panoptic_pair(rng, size) for _ in range(3)]
            preds, targets = zip(*(as_tensors(pair) for pair in pairs))
            metric = BoundaryPanopticQuality(CATEGORIES, dilation_ratio=ratio).to(device)
            metric.update(stack(preds, (3,), device), stack(targets, (3,), device))
            expected = {c["id"]: np.zeros(4) for c in CATEGORIES}
            for pair in pairs:
                for category, stats in boundary_quality(*pair, distance).items():
                    expected[category] += stats
            for category, row in metric.compute().per_class.items():
                assert boundary_counts(row) == pytest.approx(expected[category], abs=1e-12)


@pytest.mark.parametrize(
    "distance, iou, is_match",
    [
        (1, 0, False),
        (3, Fraction(64, 84 + 108 - 64), False),
        (4, Fraction(84, 96 + 128 - 84), True),
    ],
)
def test_the_smaller_iou_counts(distance, iou, is_match):
    # A square of 10 in one of 12: masks 100 of 144. Boundaries of 3 pixels: exactly one half.
    result = score(square(5, 15), square(4, 16), dilation_ratio=distance / 28.28)
    row = result.per_class[1]
    assert row["tp"] == 1 and row["iou"] == pytest.approx(100 / 144, abs=1e-12)
    expected = [float(iou), 1, 0, 0] if is_match else [0, 0, 1, 1]
    assert boundary_counts(row) == pytest.approx(expected, abs=1e-12)


def test_masks_decide_what_excuses_a_prediction():
    # 80 of 100 pixels lie on void, and 4 of 20 of the boundary match: missed, no false positive.
    gt, pred = np.zeros((10, 10), int), np.ones((10, 10), int)
    gt[:, 4:6] = 1
    row = score(pred, gt).per_class[1]
    assert row["tp"] == 1 and row["iou"] == 1.0
    assert boundary_counts(row) == [0.0, 0, 0, 1]
    # The same without void is one.
    assert boundary_counts(score(pred, square(5, 15, 10)).per_class[1]) == [0.0, 0, 1, 1]


def test_void_leaves_the_union_of_boundaries():
    # The ground truth has 6 x 10 pixels and a boundary of 28. The prediction goes on over void;
    # outside of it 6 + 6 + 8 of its boundary are left, all of them in the other.
    gt, pred = np.zeros((10, 10), int), np.zeros((10, 10), int)
    gt[:, :6], pred[:, :10] = 1, 1
    row = score(pred, gt).per_class[1]
    assert boundary_counts(row) == [float(Fraction(20, 28)), 1, 0, 0]


def test_no_segment_id_is_special():
    # boundary-iou-api marks interiors with the highest category plus one, here 201. Segment 201
    # then loses its own boundary: it found (0, 0, 1, 1) for its category on this scene.
    ids = np.where(square(5, 15) == 1, 9, 201)
    segments = [{"id": i, "category_id": c, "iscrowd": 0} for i, c in ((9, 7), (201, 3))]
    metric = BoundaryPanopticQuality(CATEGORIES)
    result = metric.update(*as_tensors((ids, segments, ids, segments), None)).compute()
    assert boundary_counts(result.per_class[3]) == [1.0, 1, 0, 0]


def test_pq_comes_from_the_same_update():
    rng, pairs = np.random.default_rng(0), []
    boundary_pq, pq = BoundaryPanopticQuality(CATEGORIES), PanopticQuality(CATEGORIES)
    modified, expected = ModifiedPanopticQuality(CATEGORIES), ModifiedPanopticQuality(CATEGORIES)
    for _ in range(20):
        pairs = as_tensors(panoptic_pair(rng, (9, 14)))
        comparison = boundary_pq.compare(*pairs)
        boundary_pq.add(comparison)
        modified.add(comparison)
        pq.update(*pairs)
        expected.update(*pairs)
    assert torch.equal(boundary_pq.class_sums, pq.class_sums)
    assert modified.compute() == expected.compute()
    group = boundary_pq.compute().summary["All"]
    assert group["PQ"] == pq.compute().summary["All"]["PQ"] > group["BoundaryPQ"] > 0
    with pytest.raises(ValueError, match="^comparison: expected one with boundaries"):
        boundary_pq.add(pq.compare(*pairs))


def test_the_table_shows_both():
    table = score(square(5, 15), square(4, 16)).table()
    assert "BoundaryPQ" in table and "69.4" in table


@pytest.mark.parametrize(
    "size, ratio, distance",
    [((480, 640), 0.02, 16), ((1024, 2048), 0.005, 11), ((3, 4), 0.02, 1), ((3, 4), 0.5, 2)],
)
def test_distance_rounds_half_to_even_and_is_at_least_one(size, ratio, distance):
    assert boundary_distance(*size, ratio) == distance


def test_bad_arguments_are_refused():
    for ratio in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="^dilation_ratio: expected a number"):
            BoundaryPanopticQuality(CATEGORIES, dilation_ratio=ratio)
    with pytest.raises(TypeError, match="^dilation_ratio: expected a number, found '0.02'"):
        BoundaryPanopticQuality(CATEGORIES, dilation_ratio="0.02")
    with pytest.raises(ValueError, match="^other: .*the same rules"):
        BoundaryPanopticQuality(CATEGORIES).merge_state(
            BoundaryPanopticQuality(CATEGORIES, dilation_ratio=0.005)
        )

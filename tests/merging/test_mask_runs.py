"""Masks given as runs of pixels merge as the masks do, by hand and on random scenes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import PanopticMerger
from pps_torch.io.rle import runs_of_mask
from tests.factories import SIZES, instances

ROAD, CAR = 7, 26


def merge_row(*runs, scores, **settings):
    """The map of runs in a row of 12 pixels, without stuff."""
    merger = PanopticMerger([ROAD], **settings)
    scores, classes = torch.tensor(scores), torch.full((len(runs),), CAR)
    sem_seg = torch.zeros(1, 12, dtype=torch.uint8)
    mask_runs = [torch.tensor(mask, dtype=torch.int64).reshape(-1, 2) for mask in runs]
    return merger.merge_runs(sem_seg, mask_runs, scores, classes).panoptic_seg[0].tolist()


@pytest.mark.parametrize("covered, row", [(5, [1] * 5 + [2] * 5), (6, [1] * 6 + [0] * 4)])
def test_an_overlap_is_counted_in_pixels(covered, row):
    found = merge_row([(0, 1), (1, covered)], [(0, 3), (3, 10)], scores=[0.9, 0.8])
    assert found == row + [0, 0]


def test_better_masks_come_first_wherever_they_are_listed():
    found = merge_row([(0, 6)], [(4, 8), (10, 12)], [(5, 5)], [], scores=[0.7, 0.9, 1.0, 1.0])
    assert found == [2] * 4 + [1] * 4 + [0] * 2 + [1] * 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("columns_first", [False, True])
def test_random_scenes(size, columns_first):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        arrays = instances(rng, size, int(rng.integers(0, 9)), [ROAD, 8, CAR])
        sem_seg, masks, scores, classes = map(torch.from_numpy, arrays)
        flat = arrays[1].swapaxes(1, 2) if columns_first else arrays[1]
        mask_runs = [torch.from_numpy(runs_of_mask(np.ascontiguousarray(mask))) for mask in flat]
        threshold = float(rng.choice([0, 0.3, 0.5, 1]))
        merger = PanopticMerger([ROAD, 8], stuff_area_limit=5, overlap_threshold=threshold)
        expected = merger(sem_seg, masks, scores, classes)
        found = merger.merge_runs(sem_seg, mask_runs, scores, classes, columns_first=columns_first)
        for ours, theirs in zip(found, expected):
            assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)


def test_class_indices_become_category_ids():
    merger = PanopticMerger([0], stuff_area_limit=1, category_ids=[ROAD, CAR])
    runs, scores, classes = [torch.tensor([[0, 1]])], torch.ones(1), torch.tensor([1])
    sem_seg = torch.zeros(1, 2, dtype=torch.uint8)
    assert merger.merge_runs(sem_seg, runs, scores, classes).category_ids.tolist() == [CAR, ROAD]


@pytest.mark.parametrize(
    "mask_runs, error, message",
    [
        ([], ValueError, "^mask_runs: expected 1 masks, found 0"),
        ([[[0, 1]]], TypeError, r"^mask_runs\[0\]: expected a torch.Tensor, found list"),
        ([torch.ones(1, 2, dtype=torch.int32)], TypeError, r"\[0\]: expected int64, found torch.i"),
        ([torch.tensor([0, 1])], ValueError, r"\[0\]: expected shape \(2, 2\), found \(2,\)"),
        ([torch.tensor([[0, 13]])], ValueError, r"\[0\]: expected rising borders in 0..12"),
        ([torch.tensor([[-1, 3]])], ValueError, "expected rising borders"),
        ([torch.tensor([[4, 3]])], ValueError, "expected rising borders"),
        ([torch.tensor([[0, 5], [4, 6]])], ValueError, "expected rising borders"),
    ],
)
def test_what_is_no_run_is_refused(mask_runs, error, message):
    inputs = torch.zeros(1, 12, dtype=torch.uint8), mask_runs, torch.ones(1), torch.tensor([CAR])
    with pytest.raises(error, match=message):
        PanopticMerger([ROAD]).merge_runs(*inputs)


def test_one_image_on_the_cpu():
    merger, runs, scores = PanopticMerger([ROAD]), [torch.tensor([[0, 1]])], torch.ones(1)
    with pytest.raises(ValueError, match=r"^scores: expected shape"):
        merger.merge_runs(torch.zeros(2, 1, 12, dtype=torch.uint8), runs, scores, scores.long())
    with pytest.raises(ValueError, match=r"^sem_seg: expected shape \(1, 12\), found \(1, 1, 12\)"):
        sem_seg = torch.zeros(1, 1, 12, dtype=torch.uint8)
        merger.merge_runs(sem_seg, runs, scores[None], scores[None].long())
    with pytest.raises(ValueError, match=r"^sem_seg: expected a tensor on the CPU, found meta"):
        inputs = (torch.zeros(1, 12, dtype=torch.uint8), scores, scores.long())
        sem_seg, scores, classes = (value.to("meta") for value in inputs)
        PanopticMerger([ROAD], validate=False).merge_runs(sem_seg, runs, scores, classes)

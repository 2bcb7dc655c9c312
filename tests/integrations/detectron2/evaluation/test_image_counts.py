"""An image counts once, whichever processes evaluated it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.distributed as dist

from pps_torch import EvalSpec, PartPanopticQuality
from pps_torch.integrations.detectron2.evaluation import image_counts
from pps_torch.integrations.detectron2.evaluation.image_counts import ImageCounts
from tests.factories import pps_pair
from tests.processes import in_processes

NUM_IMAGES = 7
SPEC = EvalSpec.load("cpp_default")


def image(index: int, disturbed: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    pps, uids = pps_pair(np.random.default_rng(index), (12, 20), SPEC)
    if disturbed:
        pps[:, :4] = 255
    return torch.from_numpy(pps), torch.from_numpy(uids)


def metrics() -> list[PartPanopticQuality]:
    return [PartPanopticQuality(SPEC), PartPanopticQuality(SPEC.without_parts())]


def results(both: list[PartPanopticQuality]) -> str:
    return json.dumps([metric.compute().as_dict() for metric in both])


def counted(images: list[int], disturbed: bool = False) -> tuple[ImageCounts, list]:
    both = metrics()
    counts = ImageCounts(NUM_IMAGES, both)
    for index in images:
        if index not in counts:
            for metric in both:
                metric.update(*image(index, disturbed))
            counts.take(index)
    return counts, both


def expected(images: range) -> str:
    both = metrics()
    for index in images:
        for metric in both:
            metric.update(*image(index))
    return results(both)


def test_the_sum_is_that_of_the_metrics():
    counts, both = counted([3, 0, 1, 1, 2, 6, 5, 4, 3])
    assert counts.total() == NUM_IMAGES
    assert results(both) == expected(range(NUM_IMAGES))
    assert counts.total() == NUM_IMAGES and results(both) == expected(range(NUM_IMAGES))
    with pytest.raises(RuntimeError, match="already added up"):
        counts.take(0)


def test_images_may_be_missing():
    counts, both = counted([0, 1])
    assert counts.total() == 2 and counts.counted_here() == {0, 1}
    assert results(both) == expected(range(2))
    assert counted([])[0].total() == 0


SHARES = {
    "halves": ([0, 1, 2, 3], [4, 5, 6]),
    "a process without images": ([], [0, 1, 2, 3, 4, 5, 6]),
    "padded as by DistributedSampler": ([0, 2, 4, 6], [1, 3, 5, 0]),
    "each image in both": ([0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]),
    "no images": ([], []),
}


def run_shares(rank: int) -> list[tuple[int, str, int, set[int]]]:
    reduces = []
    all_reduce = dist.all_reduce
    dist.all_reduce = lambda *args, **options: reduces.append(1) or all_reduce(*args, **options)
    found = []
    for share in SHARES.values():
        # Where two processes differ about an image, the lower rank is right.
        repeated = set(share[0]) & set(share[1])
        both = metrics()
        counts = ImageCounts(NUM_IMAGES, both)
        for index in share[rank]:
            for metric in both:
                metric.update(*image(index, disturbed=rank == 1 and index in repeated))
            counts.take(index)
        before = len(reduces)
        total = counts.total()
        found.append((total, results(both), len(reduces) - before, counts.counted_here()))
    return found


@pytest.mark.slow
def test_two_processes_are_bit_identical_to_one():
    for rank, found in enumerate(in_processes(2, run_shares)):
        for (name, shares), (total, result, num_reduces, own) in zip(SHARES.items(), found):
            images = range(0 if name == "no images" else NUM_IMAGES)
            assert (total, result) == (len(images), expected(images)), name
            assert num_reduces == 1, name
            assert own == set(shares[rank]) - set(shares[0] if rank else []), name


def test_the_bad_image_is_found():
    counts, both = counted([0, 1])
    pps, uids = image(2)
    uids[0, 0] = 123
    both[0].update(pps, uids)
    counts.take(2)
    counts.total()
    with pytest.raises(ValueError, match="three-digit"):
        both[0].compute()
    index, error = counts.first_bad_image()
    assert index == 2 and "1 pixels of target" in str(error)
    assert counted([0, 1])[0].first_bad_image() is None


def test_a_count_that_leaves_no_room_for_the_owner_is_refused(monkeypatch):
    monkeypatch.setattr(image_counts, "_VALUE_BITS", 3)
    counts, both = counted([0])
    with pytest.raises(ValueError, match="counts of an image"):
        counts.total()

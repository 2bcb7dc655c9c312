"""Stuff, segment numbers and their table: both versions, awkward sizes, the limit at its edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.add_stuff import add_stuff
from tests.factories import INTEGER_DTYPES, draw
from tests.triton_support import BACKENDS, needs_triton

pytestmark = needs_triton


def scene(rng, num_images, num_instances, size, labels):
    """(owner, keep, sem_seg): only kept instances own pixels."""
    keep = rng.random((num_images, num_instances)) < 0.7
    owner = np.zeros((num_images, *size), np.int32)
    sem_seg = np.zeros((num_images, *size), np.int64)
    for image in range(num_images if np.prod(size) else 0):
        ranks = np.flatnonzero(keep[image]) + 1
        draw(rng, owner[image], [0, *ranks], 6)
        draw(rng, sem_seg[image], labels, 12)
    keep &= (owner.reshape(num_images, np.prod(size), 1) == np.arange(1, num_instances + 1)).any(1)
    return torch.from_numpy(owner), torch.from_numpy(keep), torch.from_numpy(sem_seg)


def expect_twins(owner, keep, sem_seg, stuff_ids, limit, device, dtype=torch.float32, sources=None):
    """Both versions agree bit by bit; instances are taken from the last to the first."""
    order = torch.arange(keep.shape[1]).flip(0).expand(keep.shape)
    scores, classes = (order + 0.5).to(dtype) / 64, order.int() + 30
    inputs = (owner, keep, order, scores, classes, sem_seg, torch.tensor(stuff_ids).long())
    inputs = [value.to(device) for value in inputs]
    sources = None if sources is None else sources.to(device)
    expected, found = (
        add_stuff(*inputs, sources=sources, stuff_area_limit=limit, backend=backend)
        for backend in ("torch", "triton")
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    return expected


@pytest.mark.parametrize("stuff_ids", [[], [255, 3, 7, 11]])
@pytest.mark.parametrize("num_instances", [0, 1, 33])
@pytest.mark.parametrize("num_images, size", [(0, (2, 3)), (1, (1, 1)), (2, (37, 31)), (3, (0, 4))])
def test_twins_at_awkward_sizes(num_images, size, num_instances, stuff_ids, device):
    rng = np.random.default_rng(num_instances)
    inputs = scene(rng, num_images, num_instances, size, [0, 3, 7, 11, 255])
    segments = expect_twins(*inputs, stuff_ids, 20, device)
    assert segments.panoptic_seg.shape == inputs[2].shape
    assert segments.areas.shape == (num_images, num_instances + len(stuff_ids))


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_labels_of_any_integer_dtype(dtype, device):
    owner, keep, sem_seg = scene(np.random.default_rng(1), 2, 3, (9, 14), [0, 7, 11])
    sem_seg = sem_seg.to(dtype).mT.contiguous().mT
    expect_twins(owner, keep, sem_seg, [11, 7], 1, device)


@pytest.mark.parametrize("dtype", INTEGER_DTYPES)
def test_ids_that_are_no_label_match_nothing(dtype, device):
    owner, keep, sem_seg = scene(np.random.default_rng(2), 1, 2, (9, 14), [0, 7, 11])
    low = (1 << 62) + 7  # the lower bits of the first ids are those of labels
    stuff_ids = [7 + (1 << 8), 7 + (1 << 16), 7 + (1 << 32), low, 7 - (1 << 32), -1, 11]
    segments = expect_twins(owner, keep, sem_seg.to(dtype), stuff_ids, 1, device)
    assert set(segments.category_ids[0].tolist()) - {30, 31} == {11, -1}


def test_pixels_that_all_have_an_owner(device):
    owner, keep, sem_seg = scene(np.random.default_rng(3), 1, 4, (50, 50), [7, 11])
    owner[:, :40] = owner.max()
    expect_twins(owner, keep, sem_seg, [11, 7], 1, device)


@pytest.mark.parametrize(
    "limit, kept",
    [(-5, 1), (0, 1), (3.5, 1), (4, 1), (4.5, 0), (5, 0), (float("inf"), 0)],
)
def test_the_limit_is_a_number_of_pixels(limit, kept, device):
    nobody, nothing = torch.zeros(1, 2, 2, dtype=torch.int32), torch.zeros(1, 0).bool()
    four_pixels = torch.full((1, 2, 2), 7)
    found = expect_twins(nobody, nothing, four_pixels, [7, 8], limit, device)
    assert found.areas.tolist() == [[4 * kept, 0]] and found.num_segments.tolist() == [kept]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scores_of_any_floating_dtype(dtype, device):
    inputs = scene(np.random.default_rng(4), 2, 5, (9, 14), [0, 7, 11])
    assert expect_twins(*inputs, [11, 7], 1, device, dtype).scores.dtype == dtype


def test_sources_are_looked_up_by_index(device):
    inputs = scene(np.random.default_rng(5), 2, 5, (9, 14), [0, 7, 11])
    sources = torch.arange(10).view(2, 5) + 100
    found = expect_twins(*inputs, [11, 7], 1, device, sources=sources)
    assert found.source.max() > 100 and found.source.min() == -1


def test_more_slots_than_are_numbered_at_a_time(device):
    owner = torch.arange(600, dtype=torch.int32).view(1, 20, 30)
    keep = torch.ones(1, 599, dtype=torch.bool)
    keep[0, 100:400] = False
    owner[(owner > 100) & (owner <= 400)] = 0
    found = expect_twins(owner, keep, torch.full_like(owner, 7), [5, 7], 1, device)
    assert found.num_segments.item() == 300 and found.areas[0, 299].item() == 301


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend, device):
    owner = torch.tensor([[[0, 2, 2], [0, 0, 0]]], dtype=torch.int32)
    sem_seg = torch.tensor([[[7, 7, 7], [8, 7, 9]]])
    keep, order = torch.tensor([[False, True]]), torch.tensor([[1, 0]])
    scores, classes = torch.tensor([[0.75, 0.5]]), torch.tensor([[26, 24]])
    inputs = (owner, keep, order, scores, classes, sem_seg, torch.tensor([8, 7, 9]))
    inputs = [value.to(device) for value in inputs]
    found = add_stuff(*inputs, stuff_area_limit=1.5, backend=backend)
    assert found.panoptic_seg.tolist() == [[[2, 1, 1], [0, 2, 0]]]
    assert found.category_ids.tolist() == [[26, 7, -1, -1, -1]]
    assert found.is_thing.tolist() == [[True, False, False, False, False]]
    assert found.scores.tolist() == [[0.75, 0, 0, 0, 0]]
    assert found.areas.tolist() == [[2, 2, 0, 0, 0]]
    assert found.source.tolist() == [[0, -1, -1, -1, -1]] and found.num_segments.tolist() == [2]

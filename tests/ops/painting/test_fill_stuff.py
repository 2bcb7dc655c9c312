"""Stuff and segment numbers: both versions at awkward sizes, and the limit at its edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.fill_stuff import fill_stuff
from tests.factories import INTEGER_DTYPES, draw
from tests.triton_support import needs_triton

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


def expect_twins(owner, keep, sem_seg, stuff_ids, limit, device):
    inputs = [t.to(device) for t in (owner, keep, sem_seg, torch.tensor(stuff_ids).long())]
    expected = fill_stuff(*inputs, stuff_area_limit=limit, backend="torch")
    found = fill_stuff(*inputs, stuff_area_limit=limit, backend="triton")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    return expected


@pytest.mark.parametrize("stuff_ids", [[], [7], [255, 3, 7, 11]])
@pytest.mark.parametrize("num_instances", [0, 1, 33])
@pytest.mark.parametrize("num_images, size", [(0, (2, 3)), (1, (1, 1)), (2, (37, 31)), (3, (0, 4))])
def test_twins_at_awkward_sizes(num_images, size, num_instances, stuff_ids, device):
    rng = np.random.default_rng(num_instances)
    inputs = scene(rng, num_images, num_instances, size, [0, 3, 7, 11, 255])
    panoptic_seg, segment_ids, areas = expect_twins(*inputs, stuff_ids, 20, device)
    assert panoptic_seg.shape == inputs[2].shape
    assert segment_ids.shape == areas.shape == (num_images, num_instances + len(stuff_ids))


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
    _, _, areas = expect_twins(owner, keep, sem_seg.to(dtype), stuff_ids, 1, device)
    assert areas[0, 2:].nonzero().tolist() == [[6]]


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
    assert found[1].tolist() == [[kept, 0]] and found[2].tolist() == [[4, 0]]

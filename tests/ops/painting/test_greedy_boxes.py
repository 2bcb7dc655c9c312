"""The greedy choice among masks in boxes: both versions, up to samples that rounding may turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.greedy_boxes import greedy_boxes
from tests.factories import boxed_instances
from tests.triton_support import needs_triton

pytestmark = needs_triton
slow = pytest.mark.slow


def scene(rng, num_images, num_masks, size, side=7):
    """(mask_probs, boxes, order, eligible)."""
    images = [boxed_instances(rng, size, num_masks, side) for _ in range(num_images)]
    probs = np.array([image[0] for image in images]).reshape(num_images, num_masks, side, side)
    boxes = np.array([image[1] for image in images]).reshape(num_images, num_masks, 4)
    order = np.argsort(rng.random((num_images, num_masks)), axis=1)
    eligible = rng.random((num_images, num_masks)) < 0.9
    arrays = (probs.astype(np.float32), boxes.astype(np.float32), order, eligible)
    return [torch.from_numpy(array) for array in arrays]


def expect_twins(inputs, size, device, mask_threshold=0.5, overlap_threshold=0.4):
    inputs = [value.to(device) for value in inputs]
    settings = {"mask_threshold": mask_threshold, "overlap_threshold": overlap_threshold}
    expected = greedy_boxes(*inputs, size, **settings, backend="torch")
    found = greedy_boxes(*inputs, size, **settings, backend="triton")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    assert torch.equal(found[1], expected[1])
    assert (found[0] != expected[0]).sum() <= 1e-4 * found[0].numel()
    return expected


@pytest.mark.parametrize("num_masks", [0, 2, *(pytest.param(n, marks=slow) for n in (1, 33))])
@pytest.mark.parametrize("num_images, size", [(0, (3, 5)), (1, (1, 1)), (2, (17, 65)), (1, (0, 4))])
def test_twins_at_awkward_sizes(num_images, size, num_masks, device):
    inputs = scene(np.random.default_rng(num_masks), num_images, num_masks, size)
    expect_twins(inputs, size, device)


@slow
@pytest.mark.parametrize("side, mask_threshold", [(1, 0.7), (2, 0.3), (28, 0.05), (28, 0.7)])
def test_twins_on_random_boxes(side, mask_threshold, device):
    inputs = scene(np.random.default_rng(side), 2, 9, (19, 70), side)
    owner, _ = expect_twins(inputs, (19, 70), device, mask_threshold, 0.8)
    assert owner.any()


@pytest.mark.parametrize(
    "dtype",
    [torch.bfloat16, *(pytest.param(d, marks=slow) for d in (torch.float16, torch.float64))],
)
def test_any_floating_dtype(dtype, device):
    probs, boxes, *rest = scene(np.random.default_rng(3), 1, 6, (20, 30))
    expect_twins([probs.to(dtype), boxes.to(dtype), *rest], (20, 30), device)


def test_boxes_that_hold_nothing(device):
    inf, nan = float("inf"), float("nan")
    boxes = [
        [3, 0, 3, 9], [4, 4, 4, 4], [50, 0, 60, 5], [-9, -9, -1, -1], [nan, 0, 5, 5],
        [-inf, 0, inf, 5], [1e30, 0, 2e30, 5],
    ]  # fmt: skip
    boxes = torch.tensor(boxes, dtype=torch.float32)[None]
    ranks, eligible = torch.arange(len(boxes[0]))[None], torch.ones(1, len(boxes[0])).bool()
    inputs = (torch.ones(1, len(boxes[0]), 7, 7), boxes, ranks, eligible)
    owner, keep = expect_twins(inputs, (20, 30), device)
    assert not owner.any() and not keep.any()


def test_a_box_with_swapped_corners_is_mirrored_in_both(device):
    probs = torch.zeros(1, 1, 4, 4)
    probs[..., 0] = 1
    one = torch.ones(1, 1, dtype=torch.bool)
    inputs = (probs, torch.tensor([[[16.0, 0, 8, 8]]]), torch.zeros(1, 1).long(), one)
    owner, _ = expect_twins(inputs, (8, 30), device)
    assert owner[0, 4].nonzero().min() == 14


def chain(num_masks):
    """Boxes of four columns share two of them with the one before: every second one is dropped."""
    left = 2.0 * torch.arange(num_masks)
    boxes = torch.stack([left, left * 0, left + 4, left * 0 + 3], 1)[None]
    ranks, eligible = torch.arange(num_masks)[None], torch.ones(1, num_masks, dtype=torch.bool)
    return [torch.ones(1, num_masks, 5, 5), boxes, ranks, eligible]


@pytest.mark.parametrize("num_masks", [32, *(pytest.param(n, marks=slow) for n in (14, 33, 70))])
def test_a_chain_in_which_each_mask_decides_the_next(num_masks, device):
    _, keep = expect_twins(chain(num_masks), (3, 2 * num_masks + 5), device)
    assert keep[0].tolist() == [rank % 2 == 0 for rank in range(num_masks)]


def test_images_of_a_batch_are_chosen_apart(device):
    pairs, apart = chain(12), chain(12)
    pairs[3][0, 2::3] = False
    apart[1][..., ::2] += 2.0 * torch.arange(12)[:, None]
    inputs = [torch.cat(images) for images in zip(pairs, chain(12), apart, strict=True)]
    _, keep = expect_twins(inputs, (3, 60), device)
    assert keep.sum(1).tolist() == [4, 6, 12]


@slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled, not interpreted")
@pytest.mark.parametrize(
    "mask_threshold, threshold", [(0.0, 0.3), (0.5, 0.0), (0.5, 0.3), (0.5, 1.0)]
)
def test_patterns_without_a_place_in_the_table_change_nothing(
    mask_threshold, threshold, monkeypatch
):
    # Boxes that cross rows and columns of tiles; at a mask threshold of 0 all they reach is mask.
    # A compiled kernel has the number in it, so this is for the interpreter alone.
    from pps_torch.ops.painting.triton import greedy_words

    inputs = [value for value in scene(np.random.default_rng(5), 1, 40, (35, 130))]
    settings = {"mask_threshold": mask_threshold, "overlap_threshold": threshold}
    found = []
    for num_patterns in (2, 96):
        monkeypatch.setattr(greedy_words, "_TILE_PATTERNS", num_patterns)
        found.append(greedy_boxes(*inputs, (35, 130), **settings, backend="triton"))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))

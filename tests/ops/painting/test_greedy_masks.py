"""The greedy choice among full-size masks: both versions, at awkward sizes and in deep chains."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.greedy_masks import greedy_masks
from tests.triton_support import needs_triton

pytestmark = needs_triton
slow = pytest.mark.slow


def scene(rng: np.random.Generator, num_images: int, num_masks: int, num_pixels: int):
    """(masks, order, eligible): spans of a row of pixels, some empty, some equal, some noise."""
    masks = np.zeros((num_images, num_masks, num_pixels), bool)
    for image in range(num_images):
        for index in range(num_masks):
            start, stop = np.sort(rng.integers(0, num_pixels + 1, 2))
            masks[image, index, start:stop] = True
            if rng.random() < 0.2:
                masks[image, index] &= rng.random(num_pixels) < 0.5
            if rng.random() < 0.1:
                masks[image, index] = masks[image, rng.integers(0, index + 1)]
    order = np.argsort(rng.random((num_images, num_masks)), axis=1)
    eligible = rng.random((num_images, num_masks)) < 0.9
    return torch.from_numpy(masks), torch.from_numpy(order), torch.from_numpy(eligible)


def expect_twins(masks, order, eligible, threshold, device):
    """Both versions agree bit by bit; returns what they found."""
    inputs = [value.to(device) for value in (masks, order, eligible)]
    expected = greedy_masks(*inputs, overlap_threshold=threshold, backend="torch")
    found = greedy_masks(*inputs, overlap_threshold=threshold, backend="triton")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    return expected


@pytest.mark.parametrize(
    "num_masks", [0, 1, 32, *(pytest.param(n, marks=slow) for n in (2, 30, 31, 33, 65))]
)
@pytest.mark.parametrize("num_images, num_pixels", [(0, 5), (1, 1), (2, 97), (3, 0)])
def test_twins_at_awkward_sizes(num_masks, num_images, num_pixels, device):
    rng = np.random.default_rng(num_masks)
    inputs = scene(rng, num_images, num_masks, num_pixels)
    owner, keep = expect_twins(*inputs, 0.5, device)
    assert owner.shape == (num_images, num_pixels) and keep.shape == (num_images, num_masks)


@pytest.mark.parametrize(
    "threshold", [0.3, *(pytest.param(t, marks=slow) for t in (0.0, 0.1, 0.7, 1.0))]
)
def test_twins_on_random_scenes_of_several_tiles(threshold, device):
    _, keep = expect_twins(*scene(np.random.default_rng(0), 1, 12, 1301), threshold, device)
    assert keep.any() and not keep.all()


def chain(num_masks: int) -> torch.Tensor:
    """Each mask has four pixels and shares two of them with the one before it."""
    masks = torch.zeros(1, num_masks, 2 * num_masks + 2, dtype=torch.bool)
    for index in range(num_masks):
        masks[0, index, 2 * index : 2 * index + 4] = True
    return masks


@pytest.mark.parametrize(
    "num_masks, threshold, step",
    [
        *[(9, 0.0, 2), (9, 0.3, 2), (9, 1.0, 1), (33, 1.0, 1)],
        pytest.param(33, 0.0, 2, marks=slow),
        pytest.param(33, 0.3, 2, marks=slow),
        pytest.param(70, 0.3, 2, marks=slow),  # three words of bits
    ],
)
def test_chains_in_which_each_mask_decides_the_next(num_masks, threshold, step, device):
    ranks = torch.arange(num_masks)[None]
    eligible = torch.ones(1, num_masks, dtype=torch.bool)
    _, keep = expect_twins(chain(num_masks), ranks, eligible, threshold, device)
    assert keep[0].tolist() == [rank % step == 0 for rank in range(num_masks)]


def test_one_image_of_a_batch_is_not_settled(device):
    num_masks = 15
    eligible = torch.ones(3, num_masks, dtype=torch.bool)
    eligible[0, 2::3] = False
    masks = chain(num_masks).repeat(3, 1, 1)
    masks[2] &= torch.arange(masks.shape[2]) % 4 < 2
    ranks = torch.arange(num_masks).repeat(3, 1)
    _, keep = expect_twins(masks, ranks, eligible, 0.3, device)
    assert keep.sum(1).tolist() == [5, 8, 8]


def entangled(rng: np.random.Generator, num_masks: int) -> torch.Tensor:
    """Four pixels of each mask are its own, two are of the mask before it, two of any before it."""
    masks = torch.zeros(1, num_masks, 4 * num_masks, dtype=torch.bool)
    for index in range(num_masks):
        masks[0, index, 4 * index : 4 * index + 4] = True
        for parent in (index - 1, rng.integers(0, index)) if index else ():
            masks[0, index, 4 * parent : 4 * parent + 2] = True
    return masks


@slow
@pytest.mark.parametrize("threshold", [0.2, 0.3])
def test_late_masks_depend_on_early_ones(threshold, device):
    rng = np.random.default_rng(2)
    ranks = torch.arange(33)
    for dropped in (torch.from_numpy(rng.random(33) < 0.1), ranks < 31):
        expect_twins(entangled(rng, 33), ranks[None], ~dropped[None], threshold, device)


@slow
def test_late_masks_depend_on_early_ones_beyond_a_word_without_any(device):
    ranks = torch.arange(70)
    masks, dropped = entangled(np.random.default_rng(2), 70), ranks // 31 == 1
    expect_twins(masks, ranks[None], ~dropped[None], 0.3, device)


@slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled, not interpreted")
@pytest.mark.parametrize("num_patterns", [1, 4])
def test_patterns_without_a_place_in_the_table_are_read_from_the_pixels(num_patterns, monkeypatch):
    # A tile adds few patterns; the others of several tiles are left in the pixels.
    # A compiled kernel has the number in it, so this is for the interpreter alone.
    from pps_torch.ops.painting.triton import greedy_words

    monkeypatch.setattr(greedy_words, "_TILE_PATTERNS", num_patterns)
    rng = np.random.default_rng(num_patterns)
    for threshold in (0.1, 0.5):
        expect_twins(*scene(rng, 2, 33, 1204), threshold, torch.device("cpu"))


def test_noise_has_more_patterns_than_the_table(device):
    rng = np.random.default_rng(1)
    masks = torch.from_numpy(rng.random((1, 33, 508)) < 0.2)
    ranks, eligible = torch.arange(33)[None], torch.ones(1, 33, dtype=torch.bool)
    _, keep = expect_twins(masks, ranks, eligible, 0.7, device)
    assert keep.any() and not keep.all()


@pytest.mark.parametrize("start, num_pixels", [(0, 100), (0, 101), (1, 100), (4, 101)])
def test_four_pixels_are_read_at_once_where_they_are_aligned(start, num_pixels, device):
    masks, order, eligible = scene(np.random.default_rng(3), 2, 4, num_pixels)
    held = torch.zeros(2, 4, 112, dtype=torch.bool, device=device)
    held[..., start : start + num_pixels] = masks.to(device)
    part = held[..., start : start + num_pixels]
    expect_twins(part, order, eligible, 0.5, device)


def test_any_byte_but_0_is_in_a_mask(device):
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 256)
    masks = torch.cat([values, values.flip(2)], 1).view(torch.bool)
    ranks, eligible = torch.arange(2)[None], torch.ones(1, 2, dtype=torch.bool)
    owner, keep = (
        value.cpu()
        for value in greedy_masks(
            *(value.to(device) for value in (masks, ranks, eligible)),
            overlap_threshold=1.0,
            backend="triton",
        )
    )
    assert keep.tolist() == [[True, True]] and owner[0].tolist() == [2] + [1] * 255


def test_fractions_are_those_of_float64(device):
    # 3 / 10 is the double 0.3, while 10 * 0.3 and 0.1 + 0.2 are not 3.0 and 0.3.
    masks = torch.zeros(1, 2, 20, dtype=torch.bool)
    masks[0, 0, :3], masks[0, 1, :10] = True, True
    order, eligible = torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool)
    for threshold, kept in [(0.3, True), (float(np.nextafter(0.3, 0)), False), (0.1 + 0.2, True)]:
        assert expect_twins(masks, order, eligible, threshold, device)[1][0, 1].item() is kept


def test_strided_masks_are_read_in_place(device):
    rng = np.random.default_rng(1)
    masks, order, eligible = scene(rng, 2, 5, 43)
    strided = masks.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not strided.is_contiguous()
    before = strided.clone()
    found = expect_twins(strided, order, eligible, 0.5, device)
    inputs = [value.to(device) for value in (masks, order, eligible)]
    expected = greedy_masks(*inputs, overlap_threshold=0.5)
    assert all(torch.equal(a, b) for a, b in zip(found, expected))
    assert torch.equal(strided, before)

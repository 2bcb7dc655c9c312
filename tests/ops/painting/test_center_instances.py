"""Instances around centres: both versions, up to what rounding may turn, and rules by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.center_instances import center_instances
from tests.factories import centers
from tests.triton_support import BACKENDS, needs_triton

SETTINGS = {"center_threshold": 0.1, "nms_kernel": 3, "top_k": 9}
slow = pytest.mark.slow


def scene(rng, num_images, num_classes, size):
    """(logits, heatmap, offsets, thing_ids)."""
    images = [centers(rng, size, num_classes) for _ in range(max(num_images, 1))]
    logits, heatmap, offsets = (torch.from_numpy(np.stack(a))[:num_images] for a in zip(*images))
    return [logits, heatmap[:, 0], offsets, torch.arange(0, num_classes, 2)]


def expect_twins(inputs, device, **settings):
    """Integers are equal, scores are so up to rounding; returns what torch has found."""
    inputs = [value.to(device) for value in inputs]
    settings = {**SETTINGS, **settings}
    expected = center_instances(*inputs, **settings, backend="torch")
    found = center_instances(*inputs, **settings, backend="triton")
    for name, ours, theirs in zip(found._fields, found, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape, name
        if name == "scores":
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
        else:
            assert torch.equal(ours, theirs), name
    return expected


@needs_triton
@pytest.mark.parametrize("num_classes", [5, *(pytest.param(n, marks=slow) for n in (1, 2))])
@pytest.mark.parametrize(
    "num_images, size", [(0, (3, 4)), (1, (1, 1)), (2, (17, 11)), (1, (9, 130))]
)
def test_twins_at_awkward_sizes(num_images, size, num_classes, device):
    expect_twins(scene(np.random.default_rng(num_classes), num_images, num_classes, size), device)


@needs_triton
@pytest.mark.parametrize("top_k", [60, *(pytest.param(k, marks=slow) for k in (1, 2, 5, 8))])
def test_twins_choose_the_same_of_many_peaks(top_k, device):
    """Heat of few values, so that many are equal, also to the one at the bound."""
    rng = np.random.default_rng(top_k)
    inputs = scene(rng, 2, 3, (33, 40))
    inputs[1] = torch.from_numpy(
        rng.choice([0, 0, 0, 0.05, 0.2, 0.3, 0.7, 0.9], (2, 33, 40))
    ).float()
    found = expect_twins(inputs, device, top_k=top_k)
    assert (found.sources < 33 * 40).sum(1).max() <= top_k - 1


@needs_triton
@pytest.mark.parametrize("heat, has_centers", [(0.5, True), (0.1, False), (0.0, False)])
def test_twins_on_a_plateau(heat, has_centers, device):
    inputs = scene(np.random.default_rng(1), 1, 3, (3, 5))
    inputs[1] = torch.full((1, 3, 5), heat)
    found = expect_twins(inputs, device, top_k=99)
    assert bool(found.owner.any()) == has_centers


@needs_triton
@pytest.mark.parametrize(
    "dtype, heat_dtype",
    [
        (torch.bfloat16, torch.float64),
        pytest.param(torch.float16, torch.float32, marks=slow),
        pytest.param(torch.float64, torch.float32, marks=slow),
        pytest.param(torch.float16, torch.float64, marks=slow),
        pytest.param(torch.bfloat16, torch.float32, marks=slow),
        pytest.param(torch.float64, torch.float64, marks=slow),
    ],
)
def test_any_floating_dtype_and_stride(dtype, heat_dtype, device):
    logits, heatmap, offsets, thing_ids = scene(np.random.default_rng(4), 2, 4, (7, 9))
    logits, offsets = (
        value.to(dtype).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        for value in (logits, offsets)
    )
    heat = heatmap.to(heat_dtype).mT.contiguous().mT
    expect_twins((logits, heat, offsets, thing_ids), device)


@needs_triton
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=slow), pytest.param(2, marks=slow)])
def test_twins_upsample_alike(seed, device):
    """Centres far from each other, classes far apart: rounding decides few pixels, or none."""
    rng = np.random.default_rng(seed)
    logits, _, offsets, thing_ids = scene(rng, 2, 4, (7, 9))
    heatmap = torch.zeros(2, 21, 30)
    heatmap.view(2, -1)[:, rng.choice(630, 5, replace=False)] = torch.rand(5) / 2 + 0.5
    inputs = [value.to(device) for value in (logits, heatmap, offsets + 0.013, thing_ids)]
    found, expected = (
        center_instances(*inputs, **SETTINGS, backend=backend) for backend in ("triton", "torch")
    )
    assert (found.owner != expected.owner).sum() <= 2 and expected.owner.any()
    assert (found.sem_seg != expected.sem_seg).sum() <= 2
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-2, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend, device):
    """Class 1 is a thing; pixel 2 lies as near to both centres, and goes to the first."""
    logits = torch.tensor([[[0.0, 0, 0, 0, 9]], [[9, 9, 9, 9, 0]], [[1, 0, 0, 0, 0]]])[None]
    heatmap = torch.tensor([[[0.5, 0, 0, 0, 0.9]]])
    offsets = torch.zeros(1, 2, 1, 5)
    inputs = [value.to(device) for value in (logits, heatmap, offsets, torch.tensor([1]))]
    found = center_instances(*inputs, **{**SETTINGS, "top_k": 4}, backend=backend)
    assert found.sem_seg.tolist() == [[[1, 1, 1, 1, 0]]]
    assert found.owner.tolist() == [[[1, 1, 1, 2, 0]]]
    assert found.sources.tolist() == [[0, 4, 5, 5]], "in the order of the pixels"
    assert found.keep.tolist() == [[True, True, False, False]]
    assert found.pred_classes.tolist() == [[1, 1, 0, 0]] and found.order.tolist() == [[0, 1, 2, 3]]
    assert found.stuff_ids.tolist() == [0, 2]
    assert not found.scores.any(), "no heat at pixel 1, in the middle of the first; nor at pixel 3"


@needs_triton
def test_wrong_thing_ids_that_nobody_checks_write_nothing_elsewhere(device):
    logits, heatmap, offsets, _ = scene(np.random.default_rng(2), 1, 4, (2, 3))
    for thing_ids in ([7, 9], [1, 1], [-1, 2]):
        inputs = (logits, heatmap, offsets, torch.tensor(thing_ids))
        inputs = [value.to(device) for value in inputs]
        found = center_instances(*inputs, **SETTINGS, backend="triton")
        assert found.stuff_ids.shape == (2,) and (found.stuff_ids < 4).all()

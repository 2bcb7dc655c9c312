"""Instances by falling score: both versions, with ties, and with what is no instance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.rank_instances import rank_instances
from tests.triton_support import BACKENDS, needs_triton

NAN, INF = float("nan"), float("inf")


def expect_twins(scores, classes, threshold, device):
    inputs = scores.to(device), classes.to(device)
    expected, found = (
        rank_instances(*inputs, score_threshold=threshold, backend=backend)
        for backend in ("torch", "triton")
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    return expected


@needs_triton
@pytest.mark.parametrize("num_instances", [0, 1, 31, 32, 33, 300])
@pytest.mark.parametrize("num_images", [0, 1, 3])
def test_twins_at_awkward_sizes(num_images, num_instances, device):
    rng = np.random.default_rng(num_instances)
    values = [NAN, INF, -INF, 0.0, -0.0, *(np.arange(20) / 20)]  # many ties
    scores = torch.from_numpy(rng.choice(values, (num_images, num_instances)))
    classes = torch.from_numpy(rng.integers(-1, 4, scores.shape))
    order, eligible = expect_twins(scores, classes, 0.5, device)
    assert order.shape == eligible.shape == scores.shape


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [torch.int8, torch.int32, torch.uint8])
def test_any_dtype(dtype, classes, device):
    scores = torch.rand(2, 9, generator=torch.Generator().manual_seed(0)).to(dtype)
    expect_twins(scores, torch.ones(2, 9, dtype=classes), 0.3, device)


@needs_triton
def test_the_threshold_is_compared_in_float64(device):
    scores, classes = torch.tensor([[0.3, 0.1]], dtype=torch.float64), torch.tensor([[1, 1]])
    for threshold, kept in [(0.3, True), (float(np.nextafter(0.3, 1)), False), (-INF, True)]:
        assert expect_twins(scores, classes, threshold, device)[1][0, 0].item() is kept


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend, device):
    scores = torch.tensor([[0.5, NAN, 0.9, 0.5, -INF, 0.95, 0.25]], device=device)
    classes = torch.tensor([[0, 1, 2, 3, 4, -1, 5]], device=device)
    order, eligible = rank_instances(scores, classes, score_threshold=0.5, backend=backend)
    assert order.tolist() == [[2, 0, 3, 6, 1, 4, 5]]
    assert eligible.tolist() == [[True] * 3 + [False] * 4]
    _, eligible = rank_instances(scores, classes, score_threshold=-INF, backend=backend)
    assert eligible.tolist() == [[True] * 4 + [False] * 3]

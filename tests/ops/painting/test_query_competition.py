"""The competition of queries: both versions, up to what rounding may turn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.query_competition import query_competition
from tests.factories import queries
from tests.triton_support import BACKENDS, needs_triton


def scene(rng, num_images, num_queries, size):
    """(mask_logits, scores, takes_part)."""
    logits = [queries(rng, size, num_queries, 3)[1] for _ in range(num_images)]
    logits = np.array(logits, np.float32).reshape(num_images, num_queries, *size)
    scores = rng.choice([0.5, 0.75, 0.9], (num_images, num_queries)).astype(np.float32)
    takes_part = rng.random((num_images, num_queries)) < 0.7
    return [torch.from_numpy(array) for array in (logits, scores, takes_part)]


def expect_near_twins(mask_logits, scores, takes_part, size, device):
    inputs = [value.to(device) for value in (mask_logits, scores, takes_part)]
    expected = query_competition(*inputs, size, backend="torch")
    found = query_competition(*inputs, size, backend="triton")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        assert (ours - theirs).abs().sum() <= 1e-3 * found.owner.numel()
    return found


@needs_triton
@pytest.mark.parametrize("out_size", [None, (1, 1), (3, 67), (3, 9)])
@pytest.mark.parametrize("num_images, num_queries", [(0, 3), (1, 0), (1, 1), (2, 33)])
def test_twins_at_awkward_sizes(num_images, num_queries, out_size, device):
    inputs = scene(np.random.default_rng(num_queries), num_images, num_queries, (5, 9))
    found = expect_near_twins(*inputs, out_size or (5, 9), device)
    assert torch.equal(found.won.sum(1).cpu() > 0, inputs[2].any(1))


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_dtype_and_stride(dtype, device):
    logits, scores, takes_part = scene(np.random.default_rng(4), 2, 5, (6, 11))
    logits = logits.to(dtype).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for score_dtype in (torch.float32, torch.float64):
        inputs = (logits, scores.to(score_dtype), takes_part)
        expect_near_twins(*inputs, (12, 22), device)


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend, device):
    logits = torch.tensor([[9.0, 9, 1], [9.0, -9, 0], [-1, -1, 9], [99, 99, 99]])
    logits = logits.view(1, 4, 1, 3).to(device)
    scores = torch.tensor([[0.5, 0.5, 0.9, 1.0]], device=device)
    takes_part = torch.tensor([[True, True, True, False]], device=device)
    found = query_competition(logits, scores, takes_part, (1, 3), backend=backend)
    assert found.owner.tolist() == [[[1, 1, 3]]], "the first of equal ones"
    assert found.won.tolist() == found.owned.tolist() == [[2, 0, 1, 0]]
    assert found.masks.tolist() == [[3, 2, 1, 0]], "a logit of 0 is a probability of one half"
    one = logits[:, 2:3], scores[:, 2:3], takes_part[:, 2:3]
    outside = query_competition(*one, (1, 3), backend=backend)
    assert outside.won.tolist() == [[3]] and outside.owner.tolist() == [[[0, 0, 1]]]

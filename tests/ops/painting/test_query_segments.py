"""The segments of queries: both versions, up to what rounding may turn, and their table by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch.ops.painting.query_competition import query_competition
from pps_torch.ops.painting.query_segments import query_segments
from tests.factories import queries
from tests.triton_support import BACKENDS, needs_triton

SETTINGS = {"num_classes": 3, "object_mask_threshold": 0.4, "min_kept_fraction": 0.4}


def scene(rng, num_images, num_queries, size):
    """(mask_logits, scores, classes, thing_ids)."""
    logits = [queries(rng, size, num_queries, 3)[1] for _ in range(num_images)]
    logits = np.array(logits, np.float32).reshape(num_images, num_queries, *size)
    scores = rng.choice([0.4, 0.5, 0.75, 0.9], (num_images, num_queries)).astype(np.float32)
    classes = rng.integers(0, 4, (num_images, num_queries))
    arrays = (logits, scores, classes, np.array([2, 0]))
    return [torch.from_numpy(array) for array in arrays]


def expect_near_twins(inputs, size, device):
    """Few pixels may differ, where rounding decides; the table must be right for its map."""
    inputs = [value.to(device) for value in inputs]
    expected = query_segments(*inputs, size, **SETTINGS, backend="torch")
    found = query_segments(*inputs, size, **SETTINGS, backend="triton")
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    different = (found.panoptic_seg != expected.panoptic_seg).sum()
    assert different <= 1e-3 * found.panoptic_seg.numel()
    for field in ("category_ids", "is_thing", "scores", "source", "num_segments"):
        assert torch.equal(getattr(found, field), getattr(expected, field))
    counts = (
        torch.stack(
            [(found.panoptic_seg == k + 1).sum((1, 2)) for k in range(found.areas.shape[1])], 1
        )
        if found.areas.shape[1]
        else found.areas
    )
    assert torch.equal(found.areas, counts)
    return found


@needs_triton
@pytest.mark.parametrize(
    "out_size", [None, (1, 1), (3, 9), pytest.param((3, 67), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "num_images, num_queries",
    [(0, 3), (1, 0), (1, 1), (2, 13), pytest.param(2, 33, marks=pytest.mark.slow)],
)
def test_twins_at_awkward_sizes(num_images, num_queries, out_size, device):
    inputs = scene(np.random.default_rng(num_queries), num_images, num_queries, (5, 9))
    expect_near_twins(inputs, out_size or (5, 9), device)


@needs_triton
@pytest.mark.parametrize(
    "dtype, score_dtype",
    [
        (torch.bfloat16, torch.float64),
        pytest.param(torch.float16, torch.float32, marks=pytest.mark.slow),
        pytest.param(torch.float64, torch.float32, marks=pytest.mark.slow),
        pytest.param(torch.float16, torch.float64, marks=pytest.mark.slow),
        pytest.param(torch.bfloat16, torch.float32, marks=pytest.mark.slow),
        pytest.param(torch.float64, torch.float64, marks=pytest.mark.slow),
    ],
)
def test_any_floating_dtype_and_stride(dtype, score_dtype, device):
    logits, scores, *rest = scene(np.random.default_rng(4), 2, 5, (5, 7))
    logits = logits.to(dtype).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    expect_near_twins((logits, scores.to(score_dtype), *rest), (9, 13), device)


@needs_triton
@pytest.mark.parametrize(
    "num_queries", [65, *(pytest.param(n, marks=pytest.mark.slow) for n in (64, 150))]
)
def test_tables_of_several_blocks_of_queries(num_queries, device):
    """A pixel of its own for each query, and stuff that is shared across blocks."""
    rng = np.random.default_rng(num_queries)
    mask_logits = torch.full((1, num_queries, num_queries), -9.0)
    mask_logits.diagonal(dim1=1, dim2=2).fill_(9)
    classes = torch.from_numpy(rng.integers(0, 4, (1, num_queries)))
    takes_part = torch.from_numpy(rng.random((1, num_queries)) < 0.9)
    scores = torch.full((1, num_queries), 0.9).where(takes_part, 0.4)
    inputs = (mask_logits[:, :, None], scores, classes, torch.tensor([0]))
    found = expect_near_twins(inputs, (1, num_queries), device)
    assert found.is_thing.sum() > 5 and found.areas.max() > 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend, device):
    logits = torch.tensor([[9.0, 9, 1], [9.0, -9, 0], [-1, -1, 9], [99, 99, 99], [99, 99, 99]])
    scores = torch.tensor([[0.5, 0.5, 0.9, 0.4, 1.0]])  # 0.4 is not above the threshold
    classes = torch.tensor([[1, 0, 1, 0, 3]])
    inputs = [logits.view(1, 5, 1, 3), scores, classes, torch.tensor([0])]
    inputs = [value.to(device) for value in inputs]
    found = query_segments(*inputs, (1, 3), **SETTINGS, backend=backend)
    assert found.panoptic_seg.tolist() == [[[1, 1, 1]]], "the first of equal ones; stuff is shared"
    assert found.category_ids.tolist() == [[1, -1, -1, -1, -1]]
    assert found.areas.tolist() == [[3, 0, 0, 0, 0]] and found.num_segments.tolist() == [1]
    assert found.scores.tolist() == [[0.5, 0, 0, 0, 0]] and found.source.tolist() == [[-1] * 5]
    assert not found.is_thing.any()


def test_the_competition_by_hand():
    logits = torch.tensor([[9.0, 9, 1], [9.0, -9, 0], [-1, -1, 9], [99, 99, 99]])
    scores = torch.tensor([[0.5, 0.5, 0.9, 1.0]])
    takes_part = torch.tensor([[True, True, True, False]])
    found = query_competition(logits.view(1, 4, 1, 3), scores, takes_part, (1, 3))
    assert found.owner.tolist() == [[[1, 1, 3]]], "the first of equal ones"
    assert found.won.tolist() == found.owned.tolist() == [[2, 0, 1, 0]]
    assert found.masks.tolist() == [[3, 2, 1, 0]], "a logit of 0 is a probability of one half"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pixel_that_no_query_is_inside_of_is_won_all_the_same(backend, device):
    one = [torch.tensor([[[[-1.0, -99, 9]]]]), torch.tensor([[0.9]]), torch.tensor([[0]])]
    inputs = [value.to(device) for value in (*one, torch.tensor([0]))]
    settings = SETTINGS | {"min_kept_fraction": 3.0, "backend": backend}
    assert query_segments(*inputs, (1, 3), **settings).panoptic_seg.tolist() == [[[0, 0, 1]]]

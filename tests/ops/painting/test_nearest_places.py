"""The nearest place to each point: both versions."""

from __future__ import annotations

import pytest
import torch

from pps_torch.ops.painting.nearest_places import nearest_places
from tests.triton_support import BACKENDS, needs_triton


def drawn(shape, dtype, seed=0):
    """Points or places on a coarse grid, on which many distances are equal."""
    return torch.randint(9, (2, *shape), generator=torch.Generator().manual_seed(seed)).to(dtype)


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num_images, num_points", [(0, 3), (1, 1), (2, 1500), (3, 0)])
@pytest.mark.parametrize("num_places", [1, 2, 33])
def test_twins_with_equal_distances(dtype, num_images, num_points, num_places, device):
    points = drawn((num_images, num_points), dtype).to(device)
    places = drawn((num_images, num_places), dtype, seed=1).to(device)
    found = [nearest_places(points, places, backend=backend) for backend in ("torch", "triton")]
    assert found[0].dtype == found[1].dtype == torch.int32 and torch.equal(*found)


@needs_triton
def test_twins_with_any_floats_strides_and_far_places(device):
    generator = torch.Generator().manual_seed(0)
    points = (torch.randn(1300, 2, 2, generator=generator) * 1e3).permute(2, 1, 0).to(device)
    places = (torch.randn(2, 2, 40, generator=generator) * 1e3).to(device)
    places[:, 0, 20:], places[:, 1] = torch.inf, torch.inf
    found = [nearest_places(points, places, backend=backend) for backend in ("torch", "triton")]
    assert torch.equal(*found)
    assert found[0][0].max() < 20 and (found[0][1] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend, device):
    points = torch.tensor([[[0.0, 2.0, 4.0]], [[0.0, 0.0, 0.0]]], device=device)
    places = torch.tensor([[[4.0, 0.0, 4.0]], [[0.0, 0.0, 0.0]]], device=device)
    assert nearest_places(points, places, backend=backend).tolist() == [[1, 0, 0]]

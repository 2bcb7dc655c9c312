"""Owners become ids: the plain version, and the kernel that paints over owners."""

from __future__ import annotations

import pytest
import torch

from pps_torch.ops.painting.paint_ids import paint_ids
from tests.triton_support import BACKENDS, needs_triton


def painted(owner, ids, backend):
    if backend == "torch":
        return paint_ids(owner, ids)
    from pps_torch.ops.launches import Launcher
    from pps_torch.ops.painting.triton import paint_ids as twin

    owner = owner.clone()
    twin.paint_ids(Launcher("paint", owner, ids), owner=owner, ids=ids, painted=owner)
    return owner


@needs_triton
@pytest.mark.parametrize("num_owners", [0, 1, 33])
@pytest.mark.parametrize("shape", [(0, 2, 3), (1, 1, 1), (3, 37, 31), (2, 0, 4)])
def test_twins_at_awkward_sizes(shape, num_owners, device):
    generator = torch.Generator().manual_seed(num_owners)
    owner = torch.randint(num_owners + 1, shape, generator=generator, dtype=torch.int32)
    ids = torch.randint(1 << 30, (shape[0], num_owners), generator=generator)
    found = [painted(owner.to(device), ids.to(device), backend) for backend in ("torch", "triton")]
    assert found[0].dtype == found[1].dtype == torch.int32 and torch.equal(*found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend, device):
    owner = torch.tensor([[[0, 2], [1, 2]], [[1, 0], [0, 0]]], dtype=torch.int32, device=device)
    ids = torch.tensor([[7, 0], [9, 8]], device=device)
    assert painted(owner, ids, backend).tolist() == [[[0, 0], [7, 0]], [[9, 0], [0, 0]]]

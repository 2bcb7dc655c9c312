"""Argmax channel by channel equals upsampling all channels first."""

from __future__ import annotations

import pytest
import torch

from pps_torch.ops.painting.upsampled_ids import upsampled_argmax, upsampled_ids
from tests.triton_support import BACKENDS, needs_triton


@pytest.mark.parametrize("size", [(6, 8), (24, 32), (13, 5), (1, 1)])
@pytest.mark.parametrize("channels", [1, 2, 19])
def test_as_interpolate_and_argmax(channels, size, device):
    logits = torch.randn(2, channels, 6, 8, generator=torch.Generator().manual_seed(0)).to(device)
    full = torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)
    assert torch.equal(upsampled_argmax(logits, size), full.argmax(1))


def test_the_first_of_equal_channels_wins():
    logits = torch.tensor([1.0, 3.0, 3.0, 2.0]).view(1, 4, 1, 1).expand(1, 4, 2, 2)
    assert upsampled_argmax(logits, (4, 4)).unique().tolist() == [1]


def expect_near_twins(logits, size, device):
    """Both versions choose channels whose upsampled logits are equal up to rounding."""
    logits = logits.to(device)
    channels = torch.arange(logits.shape[1], device=device, dtype=torch.int32)
    expected = upsampled_ids(logits, channels, size, backend="torch")
    found = upsampled_ids(logits, channels, size, backend="triton")
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if found.numel() == 0 or tuple(logits.shape[2:]) == size:
        assert torch.equal(found, expected)
        return
    exact = torch.nn.functional.interpolate(logits.double(), size, mode="bilinear")
    best = exact.amax(1)
    chosen = exact.gather(1, found.long()[:, None])[:, 0]
    assert ((best - chosen) <= 1e-5 * best.abs()).all()


@needs_triton
@pytest.mark.parametrize(
    "size",
    [
        (6, 8),
        (13, 5),
        (1, 1),
        *(pytest.param(s, marks=pytest.mark.slow) for s in [(24, 32), (7, 67)]),
    ],
)
@pytest.mark.parametrize("num_images, channels", [(0, 3), (1, 1), (2, 19)])
def test_triton_chooses_as_torch(num_images, channels, size, device):
    logits = torch.randn(num_images, channels, 6, 8, generator=torch.Generator().manual_seed(1))
    expect_near_twins(logits, size, device)


@needs_triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("size", [(5, 9), (11, 20)])
def test_triton_with_any_dtype_and_stride(dtype, size, device):
    logits = torch.randn(2, 4, 5, 9, generator=torch.Generator().manual_seed(2)).to(dtype)
    expect_near_twins(logits.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2), size, device)


@pytest.mark.parametrize("backend", BACKENDS)
def test_ids_of_channels_and_the_first_of_equal_ones(backend, device):
    ids = torch.tensor([255, 7, 8], dtype=torch.int32, device=device)
    logits = torch.tensor([1.0, 3.0, 3.0], device=device).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert upsampled_ids(logits, ids, (5, 4), backend=backend).unique().tolist() == [7]
    logits = torch.tensor([1.0, float("nan"), 3.0], device=device).view(1, 3, 1, 1)
    assert upsampled_ids(logits, ids, (3, 2), backend=backend).unique().tolist() == [8]


@needs_triton
def test_triton_refuses_sizes_that_leave_32_bits(device):
    logits, ids = torch.zeros(1, 1, 1, 33_000, device=device), torch.zeros(1, device=device).int()
    assert upsampled_ids(logits, ids, (2, 33_000), backend="torch").shape == (1, 2, 33_000)
    with pytest.raises(
        ValueError, match=r"^out_size: expected an output .*\(1, 33000\).*, found \(2, 33000\)"
    ):
        upsampled_ids(logits, ids, (2, 33_000), backend="triton")

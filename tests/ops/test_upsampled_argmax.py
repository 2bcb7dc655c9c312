"""Argmax channel by channel equals upsampling all channels first."""

from __future__ import annotations

import pytest
import torch

from pps_torch.ops.upsampled_argmax import upsampled_argmax


@pytest.mark.parametrize("size", [(6, 8), (24, 32), (13, 5), (1, 1)])
@pytest.mark.parametrize("channels", [1, 2, 19])
def test_as_interpolate_and_argmax(channels, size, device):
    logits = torch.randn(2, channels, 6, 8, generator=torch.Generator().manual_seed(0)).to(device)
    full = torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)
    assert torch.equal(upsampled_argmax(logits, size), full.argmax(1))


def test_the_first_of_equal_channels_wins():
    logits = torch.tensor([1.0, 3.0, 3.0, 2.0]).view(1, 4, 1, 1).expand(1, 4, 2, 2)
    assert upsampled_argmax(logits, (4, 4)).unique().tolist() == [1]

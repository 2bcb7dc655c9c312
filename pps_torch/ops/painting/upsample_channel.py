"""One channel of logits, upsampled bilinearly (align_corners=False)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def at_least_float32(values: Tensor) -> Tensor:
    """Widen half precision to float32; float32 and float64 stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def upsample_channel(logits: Tensor, channel: int, size: tuple[int, int]) -> Tensor:
    """Upsample one channel of `(B, C, h, w)` logits to `(B, H, W)`, at least float32."""
    plane = at_least_float32(logits[:, channel : channel + 1])
    if tuple(plane.shape[-2:]) == tuple(size):
        return plane[:, 0]
    return F.interpolate(plane, size=size, mode="bilinear", align_corners=False)[:, 0]

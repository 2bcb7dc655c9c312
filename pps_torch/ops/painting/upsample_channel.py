"""One channel of logits, made finite and upsampled bilinearly (align_corners=False)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.ops.fold import at, is_one_loop
from pps_torch.ops.painting.contract import INFINITE


def at_least_float32(values: Tensor) -> Tensor:
    """Widen half precision to float32; float32 and float64 stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def make_finite(values: Tensor, *, nan: float = -INFINITE) -> Tensor:
    """Widen to float32 at least, and replace what cannot be interpolated.

    Infinities, and all beyond, become `INFINITE`, and NaN becomes `nan`: what was infinite still
    wins or loses, and next to it there is no NaN, as in 0 x inf.
    """
    return at_least_float32(values).nan_to_num(nan=nan).clamp(-INFINITE, INFINITE)


def upsample_channel(
    logits: Tensor, channel: int | Tensor, size: tuple[int, int], *, nan: float = -INFINITE
) -> Tensor:
    """Upsample one channel of `(B, C, h, w)` to finite `(B, H, W)`, at least float32."""
    return upsample_planes(make_finite(at(logits, 1, channel), nan=nan), size)[:, 0]


def upsample_planes(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample finite planes `(B, C, h, w)` to `(B, C, H, W)`."""
    if not is_one_loop() and tuple(planes.shape[-2:]) == tuple(size):
        return planes
    return F.interpolate(planes, size=size, mode="bilinear", align_corners=False)

"""Argmax over channels of upsampled logits, one channel at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.ops.backend import uses_triton


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def upsample_channel(logits: Tensor, channel: int, size: tuple[int, int]) -> Tensor:
    """One channel of `(B, C, h, w)` logits, bilinear (align_corners=False) -> `(B, H, W)`."""
    plane = at_least_float32(logits[:, channel : channel + 1])
    if tuple(plane.shape[-2:]) == tuple(size):
        return plane[:, 0]
    return F.interpolate(plane, size=size, mode="bilinear", align_corners=False)[:, 0]


def upsampled_argmax(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Channel with the highest upsampled logit, the first of equal ones.

    Equals upsampling all channels and taking `argmax(1)`, but for NaN, and never holds
    C x H x W.

    Args:
        logits: `(B, C, h, w)` float.
        size: `(H, W)`.

    Returns:
        `(B, H, W)` int64.
    """
    logits = logits.detach()  # a graph of gradients would hold every upsampled channel
    best = upsample_channel(logits, 0, size)
    winner = torch.zeros_like(best, dtype=torch.int64)
    for channel in range(1, logits.shape[1]):
        plane = upsample_channel(logits, channel, size)
        better = plane > best
        winner = torch.where(better, channel, winner)
        best = torch.where(better, plane, best)
    return winner


def upsampled_ids(
    logits: Tensor, ids: Tensor, size: tuple[int, int], backend: str = "auto"
) -> Tensor:
    """The id of the channel that `upsampled_argmax` finds.

    The two versions may choose differently where upsampled logits are equal up to rounding.

    Args:
        logits: `(B, C, h, w)` float.
        ids: `(C,)` int, the id of each channel.
        size: `(H, W)`.

    Returns:
        `(B, H, W)` of the dtype of `ids`.
    """
    if uses_triton(backend, logits):
        from pps_torch.ops.painting.triton import upsampled_argmax as twin

        return twin.upsampled_ids(logits.detach(), ids, *size)
    return ids[upsampled_argmax(logits, size)]

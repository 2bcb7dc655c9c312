"""The best channel of upsampled logits at each pixel, and its id; one channel is held at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.backend import uses_triton
from pps_torch.ops.fold import fold
from pps_torch.ops.painting.batch_dims import flatten_batch
from pps_torch.ops.painting.upsample_channel import upsample_channel


def upsampled_ids(
    logits: Tensor, ids: Tensor, size: tuple[int, int], *, backend: str = "auto"
) -> Tensor:
    """Look up the id of the channel with the highest upsampled logit at each pixel.

    The channel is the one that `upsampled_argmax` finds. The two versions may choose differently
    where upsampled logits are equal up to rounding.

    Args:
        logits: `(*B, C, h, w)` float.
        ids: `(C,)` int, the id of each channel.
        size: `(H, W)`.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `(*B, H, W)` of the dtype of `ids`.
    """
    if uses_triton(backend, logits):
        from pps_torch.ops.painting.triton import upsampled_ids as twin

        return twin.upsampled_ids(logits, ids, *size)
    channel = upsampled_argmax(flatten_batch(logits, 3), size)
    return ids.index_select(0, channel.flatten()).view(*logits.shape[:-3], *size)


def upsampled_argmax(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Find the channel with the highest upsampled logit at each pixel, the first of equal ones.

    Equals upsampling all channels and taking `argmax(1)`, and never holds C x H x W. NaN counts as
    -inf, and infinities as the largest magnitudes there are, see `make_finite`.

    Args:
        logits: `(B, C, h, w)` float.
        size: `(H, W)`.

    Returns:
        `(B, H, W)` int32.
    """
    logits = logits.detach()  # a graph of gradients would hold every upsampled channel
    height, width = size
    best = upsample_channel(logits, 0, size)
    winner = torch.zeros_like(best, dtype=torch.int32)

    def step(channel: int | Tensor, winner: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
        plane = upsample_channel(logits, channel, (height, width))
        return torch.where(plane > best, channel, winner), torch.maximum(plane, best)

    return fold(step, (winner, best), logits.shape[1], start=1)[0]

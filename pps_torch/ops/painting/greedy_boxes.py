"""The greedy choice among masks in the frame of their boxes, without holding N x H x W."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.backend import uses_triton
from pps_torch.ops.fold import is_one_loop
from pps_torch.ops.painting.greedy_paint import greedy_paint
from pps_torch.ops.painting.paste_masks import pasted_windows
from pps_torch.ops.painting.windowed_boxes import windowed_boxes


def greedy_boxes(
    mask_probs: Tensor,
    boxes: Tensor,
    order: Tensor,
    eligible: Tensor,
    size: tuple[int, int],
    *,
    mask_threshold: float,
    overlap_threshold: float,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Choose among masks in boxes, best first, and paint those that are kept.

    The rule is that of [`greedy_paint`][pps_torch.ops.painting.greedy_paint.greedy_paint]. Masks
    are pasted as [`paste_masks`][pps_torch.ops.painting.paste_masks.paste_masks] says; between the
    two versions, a sample within rounding of the threshold may fall either way.

    Args:
        mask_probs: `(B, N, M, M)` float, 0..1, each in its box's frame.
        boxes: `(B, N, 4)` float, xyxy in absolute pixels.
        order: `(B, N)` int64, the mask at each rank, best first.
        eligible: `(B, N)` bool, by rank.
        size: `(H, W)`.
        mask_threshold: fraction 0..1; a sample equal to it belongs to the mask.
        overlap_threshold: fraction 0..1; an overlap equal to it stays.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `owner (B, H, W)` int32, rank + 1 of the mask that owns a pixel, 0 for none, and
        `keep (B, N)` bool, by rank.
    """
    if uses_triton(backend, mask_probs):
        from pps_torch.ops.painting.triton import greedy_boxes as twin

        return twin.greedy_boxes(
            mask_probs, boxes, order, eligible, *size, mask_threshold, overlap_threshold
        )
    if is_one_loop():
        return windowed_boxes(
            mask_probs,
            boxes,
            order,
            eligible,
            size,
            mask_threshold=mask_threshold,
            overlap_threshold=overlap_threshold,
        )
    owner = mask_probs.new_zeros((order.shape[0], *size), dtype=torch.int32)
    keep = torch.zeros_like(eligible)
    # On the CPU one image at a time, so that each mask is held only in its box.
    step = 1 if order.device.type == "cpu" else max(order.shape[0], 1)
    for first in range(0, order.shape[0], step):
        part = slice(first, first + step)
        windows = pasted_windows(
            mask_probs[part], boxes[part], order[part], size, mask_threshold=mask_threshold
        )
        owner[part], keep[part] = greedy_paint(
            windows, eligible[part], size, overlap_threshold=overlap_threshold
        )
    return owner, keep

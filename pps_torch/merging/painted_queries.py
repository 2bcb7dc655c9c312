"""The competition of queries under other rules of painting, in plain torch on every device.

Mask2Former's own rule is an operation,
[`query_segments`][pps_torch.ops.painting.query_segments.query_segments]; libraries that took it
over changed what a kept query paints, and with which threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.painting.query_competition import QueryAreas

#: What a kept query paints: of the pixels that it wins those whose mask probability reaches the
#: threshold, as in Mask2Former, or all, as in transformers and mmdetection.
PAINTS = ("confident", "argmax")


def paint_queries(
    mask_probs: Tensor,
    scores: Tensor,
    takes_part: Tensor,
    *,
    paint: str,
    mask_threshold: float,
    weighs_masks: bool = False,
) -> QueryAreas:
    """Give each pixel to the query with the highest product of score and mask probability.

    Args:
        mask_probs: `(B, Q, H, W)` float.
        scores: `(B, Q)` float.
        takes_part: `(B, Q)` bool; the others win nothing and have no mask.
        paint: one of `PAINTS`.
        mask_threshold: mask probability from which on a pixel belongs to a mask.
        weighs_masks: compare the product with the threshold, as transformers does.
    """
    num_images, num_queries = scores.shape
    takes_part = takes_part[:, :, None, None]
    products = torch.where(takes_part, scores[:, :, None, None] * mask_probs, -1.0)
    is_mask = takes_part & ((products if weighs_masks else mask_probs) >= mask_threshold)
    if num_queries == 0:
        empty = scores.new_zeros(num_images, 0, dtype=torch.int64)
        owner = mask_probs.new_zeros(num_images, *mask_probs.shape[-2:], dtype=torch.int32)
        return QueryAreas(owner, empty, empty, empty)
    winner = products.argmax(1, keepdim=True)  # the first of equal ones
    is_won = takes_part.any(1)
    is_painted = is_won
    if paint == "confident":
        is_painted = is_won & is_mask.gather(1, winner)[:, 0]
    winner = winner[:, 0] + 1

    def pixels_of(is_counted: Tensor) -> Tensor:
        numbers = torch.where(is_counted, winner, 0).flatten(1)
        counts = numbers.new_zeros(num_images, num_queries + 1)
        return counts.scatter_add_(1, numbers, torch.ones_like(numbers))[:, 1:]

    return QueryAreas(
        owner=torch.where(is_painted, winner, 0).int(),
        won=pixels_of(is_won),
        owned=pixels_of(is_painted),
        masks=is_mask.flatten(2).sum(2),
    )

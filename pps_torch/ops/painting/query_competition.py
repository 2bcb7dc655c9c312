"""The competition of queries for pixels, by class probability times mask probability."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.ops.counting.pair_counts import pair_counts
from pps_torch.ops.counting.pixel_runs import pixel_runs
from pps_torch.ops.fold import at, fold, listed
from pps_torch.ops.painting.upsample_channel import upsample_channel


class QueryAreas(NamedTuple):
    """The query that owns each pixel, and pixel counts of each query, before any is dropped.

    Attributes:
        owner: `(B, H, W)` int32, query + 1; 0 where none owns a pixel, as where the winner's mask
            probability is below the threshold, here 0.5.
        won: `(B, Q)` int64, pixels that a query wins.
        owned: `(B, Q)` int64, pixels that it owns.
        masks: `(B, Q)` int64, pixels where its mask reaches the threshold; 0 for a query that
            takes no part.
    """

    owner: Tensor
    won: Tensor
    owned: Tensor
    masks: Tensor


def query_competition(
    mask_logits: Tensor, scores: Tensor, takes_part: Tensor, size: tuple[int, int]
) -> QueryAreas:
    """Give each pixel to the query with the highest product, the first of equal ones.

    Args:
        mask_logits: `(B, Q, h, w)` float, upsampled bilinearly to `size`; NaN counts as -inf.
        scores: `(B, Q)` float, class probabilities.
        takes_part: `(B, Q)` bool; the others win nothing.
        size: `(H, W)`.

    Returns:
        `QueryAreas`.
    """
    num_images, num_queries = scores.shape
    height, width = size
    # Maps are flat until the end. In one loop over maps (B, H, W) and (B, P), Inductor of torch 2.6
    # keeps a row where it needs an image, and writes past its end.
    best = scores.new_full((num_images, height * width), -1.0)
    # Twice the winner's number, and 1 more inside its mask; 0 where none wins.
    code = torch.zeros_like(best, dtype=torch.int32)
    masks = torch.zeros_like(scores, dtype=torch.int64)
    numbers = torch.arange(num_queries, device=scores.device)
    queries, count = listed(takes_part.any(0))
    weights = torch.where(takes_part, scores, -torch.inf).index_select(1, queries)

    def step(place: int | Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        best, code, masks = state
        query = at(queries, 0, place)[0]
        probability = upsample_channel(mask_logits, query, (height, width)).flatten(1).sigmoid()
        is_mask = probability >= 0.5
        pixels = is_mask.sum(1, keepdim=True, dtype=torch.int32).long()
        weighted = at(weights, 1, place) * probability
        wins = weighted > best
        return (
            torch.where(wins, weighted, best),
            torch.where(wins, is_mask + 2 * (query.to(torch.int32) + 1), code),
            torch.where(numbers == query, pixels, masks),
        )

    best, code, masks = fold(step, (best, code, masks), count)
    runs = pixel_runs(code)
    winner, is_inside = runs.maps[0] // 2, runs.maps[0] % 2
    pairs = (winner.long(), is_inside.long())
    counts = pair_counts(runs, *pairs, num_queries + 1, 2, num_images)[:, 1:]
    owner = runs.expand(winner * is_inside).view(num_images, *size)
    return QueryAreas(owner, counts.sum(2), counts[:, :, 1], masks * takes_part)

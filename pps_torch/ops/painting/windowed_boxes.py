"""The greedy choice among masks in boxes as one loop of an exported program, window by window."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.ops.fold import at, fold
from pps_torch.ops.painting.greedy_paint import is_kept
from pps_torch.ops.painting.paste_masks import multiply_masks

# Large enough that most boxes fit into one window, and small beside an image.
_ROWS, _COLUMNS = 256, 512


class _Windows(NamedTuple):
    """The windows that the masks of each rank reach.

    Attributes:
        first: `(B, N, 2)` int64, the row and column where the first one begins.
        columns: `(N,)` int64, windows side by side, as many as the image with the most needs.
        number: `(N,)` int64, windows in all; 0 for a rank without eligible masks.
        visits: `(N,)` int64: a mask in several windows is counted in each before it is painted.
    """

    first: Tensor
    columns: Tensor
    number: Tensor
    visits: Tensor


def windowed_boxes(
    mask_probs: Tensor,
    boxes: Tensor,
    order: Tensor,
    eligible: Tensor,
    size: tuple[int, int],
    *,
    mask_threshold: float,
    overlap_threshold: float,
) -> tuple[Tensor, Tensor]:
    """Choose and paint as [`greedy_boxes`][pps_torch.ops.painting.greedy_boxes.greedy_boxes] does.

    All images visit their windows of one rank together. Only `torch.export` calls it.
    """
    height, width = size
    images = torch.arange(order.shape[0], device=order.device)
    ranks = torch.arange(order.shape[1], device=order.device)
    ranked = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    windows = _windows(ranked, eligible, size, side=mask_probs.shape[-1])
    ends = windows.visits.cumsum(0)
    rows = torch.arange(_ROWS, device=order.device)
    columns = torch.arange(_COLUMNS, device=order.device)

    def step(visit: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        owner, keep, area, free = state
        # Where: the window of this visit, in each image.
        rank = (ends <= visit).sum()
        count, side_by_side = at(windows.number, 0, rank), at(windows.columns, 0, rank)
        place = visit - at(ends - windows.visits, 0, rank)
        is_counted = place < count
        is_painted = ~is_counted | (count == 1)
        window = torch.where(is_counted, place, place - count)
        down = window // side_by_side
        first = at(windows.first, 1, rank)
        y = first[:, :, 0] + down * _ROWS + rows
        x = first[:, :, 1] + (window - down * side_by_side) * _COLUMNS + columns
        is_inside = (y < height)[:, :, None] & (x < width)[:, None, :]
        pixel = torch.where(is_inside, y[:, :, None] * width + x[:, None, :], height * width)
        # What: the mask there, and who owns its pixels.
        index = at(order, 1, rank)[:, 0]
        mask = is_inside & (
            multiply_masks(mask_probs[images, index], boxes[images, index], y, x) >= mask_threshold
        )
        owned = owner.gather(1, pixel.flatten(1)).view(mask.shape)
        paints = mask & (owned == 0)
        area = torch.where(place == 0, 0, area) + _count(mask) * is_counted
        free = torch.where(place == 0, 0, free) + _count(paints) * is_counted
        kept = at(eligible, 1, rank)[:, 0] & is_kept(area, free, overlap_threshold) & is_painted
        ids = torch.where(paints & kept[:, None, None], rank.to(torch.int32) + 1, owned)
        return (
            owner.scatter(1, pixel.flatten(1), ids.flatten(1)),
            keep | (kept[:, None] & (ranks == rank)),
            area,
            free,
        )

    # One element more, for what of a window lies outside of the image.
    owner = eligible.new_zeros(order.shape[0], height * width + 1, dtype=torch.int32)
    none = torch.zeros_like(images)
    state = (owner, torch.zeros_like(eligible), none, torch.zeros_like(none))
    owner, keep, _, _ = fold(step, state, windows.visits.sum())
    return owner[:, : height * width].reshape(order.shape[0], height, width), keep


def _windows(boxes: Tensor, eligible: Tensor, size: tuple[int, int], *, side: int) -> _Windows:
    """Find the windows that boxes `(B, N, 4)`, by rank, reach: half a cell and a pixel around."""
    start, stop = boxes.float().unflatten(2, (2, 2)).flip(3).unbind(2)  # y and x
    low, high = torch.minimum(start, stop), torch.maximum(start, stop)
    margin = (high - low) / (2 * side) + 1
    limits = torch.stack([torch.full_like(low[..., 0], length) for length in size], 2)
    is_finite = (high - low).isfinite()
    first = torch.where(is_finite, torch.minimum((low - margin).clamp(min=0), limits), 0).long()
    last = torch.where(is_finite, torch.minimum((high + margin + 1).clamp(min=0), limits), limits)
    reach = (last.long() - first) * eligible[..., None]
    rows = ((reach[..., 0] + _ROWS - 1) // _ROWS).amax(0)
    columns = ((reach[..., 1] + _COLUMNS - 1) // _COLUMNS).amax(0)
    count = rows * columns
    return _Windows(first, columns, count, torch.where(count > 1, 2 * count, count))


def _count(mask: Tensor) -> Tensor:
    """Count the pixels of each mask: `(B, h, w)` bool to `(B,)` int64."""
    return mask.sum((1, 2), dtype=torch.int64)

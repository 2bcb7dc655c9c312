"""The greedy choice among masks in boxes as one loop of an exported program."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.graph_capture import in_float64
from pps_torch.ops.fold import at, first_places, fold
from pps_torch.ops.painting.greedy_paint import is_kept
from pps_torch.ops.painting.paste_masks import multiply_mask

#: Ranks + 1 are held in 16 bits, as each round of the loop copies the canvas.
MAX_RANKS = (1 << 16) - 1


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

    Each round takes one mask of one image, in the window that its box can reach; the sizes of
    windows are values in the program. Only `torch.export` calls it.
    """
    height, width = size
    num_images, num_ranks = order.shape
    if num_ranks > MAX_RANKS:
        raise ValueError(f"boxes: expected at most {MAX_RANKS} an image, found {num_ranks}")
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    first, last = _reach(boxes, size, side=mask_probs.shape[-1])
    can_paint = eligible & (first < last).all(2)
    visits = first_places(can_paint.flatten())
    places = torch.arange(num_images * num_ranks, device=order.device)
    image = torch.arange(num_images, device=order.device)[:, None].expand(order.shape)
    masks = mask_probs[image, order].flatten(0, 1).index_select(0, visits)
    boxes = boxes.flatten(0, 1).index_select(0, visits)
    row_of_image = torch.stack([image * height, torch.zeros_like(image)], 2)
    windows = torch.cat([first, row_of_image, last - first], 2)
    windows = windows.flatten(0, 1).index_select(0, visits)
    ids = (torch.arange(num_ranks, device=order.device, dtype=torch.int32) + 1).repeat(num_images)
    threshold = in_float64(overlap_threshold, eligible)  # not in the loop, which has no constants

    def step(visit: Tensor, canvas: Tensor, keep: Tensor) -> tuple[Tensor, Tensor]:
        place = at(visits, 0, visit)
        first, row_of_image, size = at(windows, 0, visit)[0].split(2)
        y, x = (_range(*pair) for pair in zip(first, size))
        samples = multiply_mask(at(masks, 0, visit)[0], at(boxes, 0, visit)[0], y, x)
        mask, rows = samples >= mask_threshold, y + row_of_image[0]
        window = canvas.index_select(0, rows).index_select(1, x).int()
        paints = mask & (window == 0)
        kept = is_kept(_count(mask), _count(paints), threshold)
        painted = torch.where(paints & kept, ids.index_select(0, place), window).to(torch.int16)
        return canvas.index_put((rows[:, None], x), painted), keep | (kept & (places == place))

    canvas = eligible.new_zeros(num_images * height, width, dtype=torch.int16)
    state = (canvas, torch.zeros_like(places, dtype=torch.bool))
    canvas, keep = fold(step, state, can_paint.sum())
    return (canvas.int() & MAX_RANKS).view(num_images, height, width), keep.view(eligible.shape)


def _reach(boxes: Tensor, size: tuple[int, int], *, side: int) -> tuple[Tensor, Tensor]:
    """Find the first row and column, and those behind the last, that boxes `(B, N, 4)` reach."""
    start, stop = boxes.double().unflatten(2, (2, 2)).flip(3).unbind(2)  # y and x
    low, high = torch.minimum(start, stop), torch.maximum(start, stop)
    margin = (high - low) / (2 * side) + 1
    limits = torch.stack([torch.full_like(low[..., 0], length) for length in size], 2)
    is_finite = (high - low).isfinite()
    first = torch.minimum((low - margin).clamp(min=0), limits)
    last = torch.minimum((high + margin + 1).clamp(min=0), limits)
    return torch.where(is_finite, first, 0).long(), torch.where(is_finite, last, limits).long()


def _range(first: Tensor, size: Tensor) -> Tensor:
    """The rows or columns of a window, whose number is a value that the exporter cannot know."""
    number = int(size.item())
    torch._check(number >= 1)
    return torch.arange(number, device=first.device) + first


def _count(mask: Tensor) -> Tensor:
    """Count the pixels of a mask: `(h, w)` bool to `()` int32."""
    return mask.sum(dtype=torch.int32)

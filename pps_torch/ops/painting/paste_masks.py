"""Masks in the frame of their box, sampled at the pixels of the image."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.painting.contract import INFINITE
from pps_torch.ops.painting.greedy_paint import MaskWindow


def paste_masks(
    mask_probs: Tensor, boxes: Tensor, rows: slice, columns: slice, *, mask_threshold: float
) -> Tensor:
    """Paste one mask an image into a window of it, as Detectron2's `paste_masks_in_image` does.

    The mask is sampled bilinearly at pixel centres, with zeros around it; a sample equal to the
    threshold belongs to the mask.

    Args:
        mask_probs: `(B, M, M)` float in 0..1, in the box's frame.
        boxes: `(B, 4)` float, xyxy in absolute pixels.
        rows, columns: the window, in pixels, with start and stop.
        mask_threshold: fraction 0..1.

    Returns:
        `(B, h, w)` bool, for the h rows and w columns of the window.
    """
    x0, y0, x1, y1 = boxes.float()[:, :, None].unbind(1)
    y = _places(torch.arange(rows.start, rows.stop, device=boxes.device), y0, y1)
    x = _places(torch.arange(columns.start, columns.stop, device=boxes.device), x0, x1)
    size = (boxes.shape[0], y.shape[1], x.shape[1])
    if 0 in size:
        return mask_probs.new_zeros(size, dtype=torch.bool)
    grid = torch.stack([x[:, None, :].expand(size), y[:, :, None].expand(size)], dim=3)
    samples = F.grid_sample(mask_probs.float()[:, None], grid, align_corners=False)
    return samples[:, 0] >= mask_threshold


def multiply_mask(mask_probs: Tensor, box: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Sample one mask as `paste_masks` does, by two products of matrices, for exported programs.

    Samples differ by rounding, and where a mask holds NaN or infinity, which are as low as can be
    here.

    Args:
        mask_probs: `(M, M)` float in 0..1, in the box's frame.
        box: `(4,)` float, xyxy in absolute pixels.
        y, x: `(h,)` and `(w,)` int, the rows and columns of pixels.

    Returns:
        `(h, w)` float32.
    """
    x0, y0, x1, y1 = box.float()
    side = mask_probs.shape[-1]
    rows, columns = _weights(_places(y, y0, y1), side), _weights(_places(x, x0, x1), side)
    finite = mask_probs.float().nan_to_num(nan=-INFINITE, posinf=-INFINITE, neginf=-INFINITE)
    return rows @ (finite @ columns.T)


def _places(pixels: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    """The centres of pixels `(P,)`, -1..1 between two edges `(B, 1)` or `()`."""
    return (pixels.float() + 0.5 - start) / (stop - start) * 2 - 1


def _weights(places: Tensor, side: int) -> Tensor:
    """The weights `(P, M)` of a mask's cells at places `(P,)`, -1..1; around it are zeros."""
    cells = ((places + 1) * side - 1) * 0.5
    distance = cells[:, None] - torch.arange(side, device=places.device)
    return (1 - distance.abs()).clamp(min=0)


def box_window(box: Tensor, size: tuple[int, int], *, side: int) -> tuple[slice, slice]:
    """The rows and columns that a box's mask can reach, half a cell around the box; CPU only.

    Args:
        box: `(4,)` float, xyxy in absolute pixels.
        size: `(H, W)` of the image.
        side: M, cells along each side of the mask.
    """
    x0, y0, x1, y1 = box.tolist()
    height, width = size
    return _reach(y0, y1, height, side=side), _reach(x0, x1, width, side=side)


def pasted_windows(
    mask_probs: Tensor,
    boxes: Tensor,
    order: Tensor,
    size: tuple[int, int],
    *,
    mask_threshold: float,
) -> Iterator[MaskWindow]:
    """Paste the masks of a batch rank by rank.

    Args:
        mask_probs: `(B, N, M, M)` float, 0..1, each in its box's frame.
        boxes: `(B, N, 4)` float, xyxy in absolute pixels.
        order: `(B, N)` int64, the mask at each rank.
        size: `(H, W)`.
        mask_threshold: fraction 0..1.

    Yields:
        a `MaskWindow` a rank: for one image on the CPU what the mask's box can reach, else the
        whole image.
    """
    height, width = size
    images = torch.arange(order.shape[0], device=order.device)
    crops = order.shape[0] == 1 and is_on_host(order)
    for rank in range(order.shape[1]):
        masks = mask_probs[images, order[:, rank]]
        box = boxes[images, order[:, rank]]
        rows, columns = slice(0, height), slice(0, width)
        window = slice(None), slice(None)  # without the sizes, which a graph would hold fixed
        if crops:
            window = rows, columns = box_window(box[0], size, side=mask_probs.shape[-1])
        mask = paste_masks(masks, box, rows, columns, mask_threshold=mask_threshold)
        yield MaskWindow(*window, mask)


def _reach(start: float, stop: float, size: int, *, side: int) -> slice:
    """The pixels of `0..size-1` that a mask of `side` cells between two edges can reach."""
    if not math.isfinite(stop - start):
        return slice(0, size)
    start, stop = min(start, stop), max(start, stop)
    margin = (stop - start) / (2 * side) + 1
    first = min(max(start - margin, 0), size)
    last = min(max(stop + margin + 1, 0), size)
    return slice(int(first), int(last))

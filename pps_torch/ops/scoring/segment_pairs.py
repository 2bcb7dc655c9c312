"""Pairs of segments of two maps that share pixels: the form in which overlaps are kept.

Of all pairs of many segments few meet, so pairs are listed: the list grows with the segments and
the pixels, where a table of all pairs would grow with the square of the segments.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pps_torch.formats.runs import distinct_runs, grouped_pixels
from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.given_runs import given_runs
from pps_torch.ops.counting.joint_counts import array_in_range, ids_in_range
from pps_torch.ops.counting.pixel_runs import check_num_pixels, pixel_runs
from pps_torch.ops.scoring.contract import SegmentPairs, fits_table

Array = npt.NDArray[Any]


def segment_pairs(
    gt_map: Tensor,
    pred_map: Tensor,
    num_gt: int,
    num_pred: int,
    *,
    lengths: Tensor | None = None,
    backend: str = "auto",
) -> SegmentPairs:
    """List the pairs of ids that meet in the pixels of each image.

    Args:
        gt_map, pred_map: `(B, P)` maps of any integer dtype.
        num_gt, num_pred: ids are `0..num_gt-2` and `0..num_pred-2`; all others count as the last
            one, `num_gt-1` and `num_pred-1`.
        lengths: `(B, P)` int64, of maps of runs the pixels of each; None for maps of pixels. Torch
            counts runs on any backend.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton]. Triton counts where
            [`fits_table`][pps_torch.ops.scoring.contract.fits_table] says so.

    Raises:
        ValueError: for images of 2**30 pixels or more; of runs, the caller checks their sum.

    Example:
        >>> gt, pred = torch.tensor([[1, 1, 0]]), torch.tensor([[1, 0, 9]])
        >>> segment_pairs(gt, pred, 3, 3)
        SegmentPairs(gt=tensor([0, 1, 1]), pred=tensor([2, 0, 1]), pixels=tensor([1, 1, 1]))
    """
    check_num_pixels(gt_map)
    shape = len(gt_map), num_gt, num_pred
    if lengths is None and uses_triton(backend, gt_map) and fits_table(num_gt, num_pred):
        from pps_torch.ops.counting.triton.joint_counts import joint_counts

        return pairs_of_table(joint_counts(gt_map, pred_map, num_gt - 1, num_pred - 1))
    if is_on_host(gt_map):
        arrays = (gt_map.numpy(), pred_map.numpy(), None if lengths is None else lengths.numpy())
        return SegmentPairs(*map(torch.from_numpy, pairs_on_host(*arrays, num_gt, num_pred)))
    maps = gt_map, pred_map
    runs = pixel_runs(*maps) if lengths is None else given_runs(lengths, *maps)
    gt, pred = (ids_in_range(m, n - 1) for m, n in zip(runs.maps, (num_gt, num_pred)))
    return list_pairs(runs.image, gt, pred, runs.lengths, shape)


def pairs_on_host(
    gt_map: Array, pred_map: Array, lengths: Array | None, num_gt: int, num_pred: int
) -> tuple[Array, Array, Array]:
    """The pairs that have pixels, in NumPy, whose calls take less time than torch's."""
    num_images, num_pixels = gt_map.shape
    maps = gt_map.reshape(-1), pred_map.reshape(-1)
    if lengths is None:
        image, maps, lengths = grouped_pixels(maps, num_pixels)
    else:
        image, lengths = np.arange(num_images).repeat(num_pixels), lengths.reshape(-1)
    gt, pred = (array_in_range(m, n - 1) for m, n in zip(maps, (num_gt, num_pred)))
    return _summed_pairs(image, gt, pred, lengths, (num_images, num_gt, num_pred))


def list_pairs(
    image: Tensor, gt: Tensor, pred: Tensor, pixels: Tensor, shape: tuple[int, int, int]
) -> SegmentPairs:
    """List pairs, each once, in the order of the ground truth and then of the prediction.

    Args:
        image, gt, pred: `(N,)` int64, in `0..B-1`, `0..G-1` and `0..P-1`.
        pixels: `(N,)` int64.
        shape: `B, G, P`.

    Returns:
        on the CPU the pairs that have pixels. Elsewhere their number must not depend on values:
        all cells of the table, where `fits_table` says so, else as many pairs as there were; those
        of no pixels mean nothing.
    """
    num_images, num_gt, num_pred = shape
    if is_on_host(gt):
        places = image.numpy(), gt.numpy(), pred.numpy()
        return SegmentPairs(*map(torch.from_numpy, _summed_pairs(*places, pixels.numpy(), shape)))
    cells = (image * num_gt + gt) * num_pred + pred
    if fits_table(num_gt, num_pred):
        table = pixels.new_zeros(num_images * num_gt * num_pred).scatter_add_(0, cells, pixels)
        return pairs_of_table(table.view(shape))
    cells, pixels = _sorted_cells(cells, pixels)
    gt = cells // max(num_pred, 1)
    return SegmentPairs(gt, cells - (gt - gt // max(num_gt, 1)) * num_pred, pixels)


def _summed_pairs(
    image: Array, gt: Array, pred: Array, pixels: Array, shape: tuple[int, int, int]
) -> tuple[Array, Array, Array]:
    """The pairs that have pixels, each once, in NumPy; `gt` and `pred` may be int32."""
    num_images, num_gt, num_pred = shape
    num_cells = num_images * num_gt * num_pred
    cells = (image * num_gt + gt) * num_pred + pred
    is_distinct = (cells[1:] > cells[:-1]).all()  # as of pixels of distinct values
    if not is_distinct:
        # To look through a table takes less time than to sort, if it is a small one.
        if num_cells <= 4 * len(gt):
            table = np.bincount(cells, pixels, num_cells)  # float64, which holds areas exactly
            (cells,) = table.nonzero()
            pixels = table.take(cells).astype(np.int64)
        else:
            (cells,), pixels = distinct_runs((cells,), pixels)
    if not pixels.all():
        cells, pixels = cells[pixels > 0], pixels[pixels > 0]
    gt = cells // max(num_pred, 1)
    return gt, cells - (gt - gt // max(num_gt, 1)) * num_pred, pixels


def _sorted_cells(cells: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Sort cells; the first one of equal ones gets the pixels of all."""
    cells, order = cells.sort()
    is_first = torch.ones_like(cells, dtype=torch.bool)
    is_first[1:] = cells[1:] != cells[:-1]
    group = is_first.cumsum(0) - 1
    sums = torch.zeros_like(pixels).scatter_add_(0, group, pixels[order])
    return cells, torch.where(is_first, sums[group], 0)


def pairs_of_table(table: Tensor) -> SegmentPairs:
    """List all cells of a table `(B, G, P)` of pixels."""
    num_images, num_gt, num_pred = table.shape
    gt = torch.arange(num_images * num_gt, device=table.device)
    pred = torch.arange(num_images * num_pred, device=table.device).view(num_images, 1, num_pred)
    return SegmentPairs(
        gt=gt[:, None].expand(-1, num_pred).reshape(-1),
        pred=pred.expand(table.shape).reshape(-1),
        pixels=table.reshape(-1).long(),
    )

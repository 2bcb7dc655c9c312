"""What kernels paste with: masks in the frame of their boxes, sampled at the pixels of a tile."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def reaches(start, stop, side, first, last):
    """Tell whether a mask between two edges can reach the pixels `first` to `last`."""
    low, high = tl.minimum(start, stop), tl.maximum(start, stop)
    margin = (high - low) / (2 * side) + 2
    return (low - margin <= last) & (high + margin >= first)


@triton.jit
def edges(box_ptr):
    """Load left, top, right and bottom of a box."""
    left, top = tl.load(box_ptr).to(tl.float32), tl.load(box_ptr + 1).to(tl.float32)
    right, bottom = tl.load(box_ptr + 2).to(tl.float32), tl.load(box_ptr + 3).to(tl.float32)
    return left, top, right, bottom


@triton.jit
def cell(centre, start, stop, side):
    """The position of a pixel's centre in a mask's cells, step by step as grid_sample has it."""
    place = tl.div_rn(centre - start, stop - start) * 2 - 1
    return ((place + 1) * side - 1) * 0.5


@triton.jit
def cell_value(probs_ptr, row, column, side):
    """Load a mask's cells at whole positions, 0 outside of the mask."""
    inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
    offset = tl.where(inside, row * side + column, 0).to(tl.int32)
    return tl.load(probs_ptr + offset, mask=inside, other=0).to(tl.float32)


@triton.jit
def sample_mask(probs_ptr, box_ptr, y, x, side, threshold):
    """Tell which pixels of a tile lie in a mask; a sample equal to the threshold does.

    Samples are bilinear, with zeros around the mask.
    """
    left, top, right, bottom = edges(box_ptr)
    cells = side * 1.0
    row = cell(y, top, bottom, cells)[:, None]
    column = cell(x, left, right, cells)[None, :]
    upper, before = tl.floor(row), tl.floor(column)
    lower_part, after_part = row - upper, column - before
    upper_part, before_part = 1 - lower_part, 1 - after_part
    sample = cell_value(probs_ptr, upper, before, cells) * (before_part * upper_part)
    sample += cell_value(probs_ptr, upper, before + 1, cells) * (after_part * upper_part)
    sample += cell_value(probs_ptr, upper + 1, before, cells) * (before_part * lower_part)
    sample += cell_value(probs_ptr, upper + 1, before + 1, cells) * (after_part * lower_part)
    return sample >= threshold

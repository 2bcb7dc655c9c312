"""What kernels upsample with: bilinear values at the pixels of a tile, as F.interpolate's."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.launches import num_blocks
from pps_torch.ops.painting.contract import INFINITE

_INFINITE = tl.constexpr(INFINITE)
_LARGEST_INT32 = (1 << 31) - 1

#: The arguments of `upsampling_arguments` that differ from image to image: Triton is not to compile
#: anew where one becomes divisible by 16, as rows are read at places of their own anyway.
VARYING = ["image_stride", "channel_stride", "row_stride", "height", "width", "out_height"]


def as_sampled(logits: Tensor) -> Tensor:
    """View logits `(*B, C, h, w)` with one batch dimension, or none: that view costs host time."""
    return logits.flatten(0, -4) if logits.ndim > 4 else logits


def upsampling_arguments(logits: Tensor, out_height: int, out_width: int) -> dict[str, Any]:
    """The arguments by which kernels sample logits at the pixels of an output.

    Args:
        logits: `(B, C, h, w)`, or `(C, h, w)` of one image, of `as_sampled`.
        out_height, out_width: of the output.

    Raises:
        ValueError: where the numerators of `_taps` would leave 32 bits.
    """
    height, width = logits.shape[-2:]
    image_stride, channel_stride, row_stride, column_stride = (0, *logits.stride())[-4:]
    interpolates = (height, width) != (out_height, out_width)
    if interpolates and max(height * out_height, width * out_width) >= 1 << 30:
        raise ValueError(
            "out_size: expected an output of which each side times that of the input, "
            f"{(height, width)}, is less than 2**30, found {(out_height, out_width)}; "
            "the torch backend has no such limit"
        )
    farthest = (height - 1) * row_stride + (width - 1) * column_stride
    return {
        "image_stride": image_stride,
        "channel_stride": channel_stride,
        "row_stride": row_stride,
        "column_stride": column_stride,
        "height": height,
        "width": width,
        "out_height": out_height,
        "out_width": out_width,
        "INTERPOLATES": interpolates,
        "OFFSET": tl.int32 if farthest <= _LARGEST_INT32 else tl.int64,
        "DTYPE": tl.float64 if logits.dtype == torch.float64 else tl.float32,
    }


def num_programs(num_images: int, height: int, width: int, rows: int, columns: int) -> int:
    """The number of tiles of all images: the grid of kernels that begin with `tile_pixels`."""
    return num_images * num_blocks(height, rows) * num_blocks(width, columns)


@triton.jit
def tile_pixels(height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The image of this program as int64, and the rows and columns of the pixels of its tile.

    Tiles are counted along x, where a grid may be larger than 65,535.
    """
    tiles_a_row = tl.cdiv(width, COLUMNS)
    tiles_an_image = tiles_a_row * tl.cdiv(height, ROWS)
    image = (tl.program_id(0) // tiles_an_image).to(tl.int64)
    tile = tl.program_id(0) % tiles_an_image
    pixel = tl.arange(0, ROWS * COLUMNS)
    row = tile // tiles_a_row * ROWS + pixel // COLUMNS
    column = tile % tiles_a_row * COLUMNS + pixel % COLUMNS
    return image, row, column


@triton.jit
def bilinear_taps(
    row,
    column,
    height,
    width,
    out_height,
    out_width,
    row_stride,
    column_stride,
    INTERPOLATES: tl.constexpr,
    OFFSET: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Where in a plane the four logits around each output pixel are, and their weights.

    A kernel computes them once for all planes. Pixels outside of the output have those of its last
    row or column. Without interpolation the first of the four is the pixel itself.
    """
    if INTERPOLATES:
        upper, lower, lower_part = _taps(row, height, out_height)
        before, after, after_part = _taps(column, width, out_width)
    else:
        upper, before = tl.minimum(row, height - 1), tl.minimum(column, width - 1)
        lower, after = upper, before
        lower_part = tl.zeros(row.shape, tl.float32)
        after_part = lower_part
    upper, lower = upper.to(OFFSET) * row_stride, lower.to(OFFSET) * row_stride
    before, after = before.to(OFFSET) * column_stride, after.to(OFFSET) * column_stride
    lower_part, after_part = lower_part.to(DTYPE), after_part.to(DTYPE)
    upper_part, before_part = 1 - lower_part, 1 - after_part
    offsets = (upper + before, upper + after, lower + before, lower + after)
    weights = (
        upper_part * before_part,
        upper_part * after_part,
        lower_part * before_part,
        lower_part * after_part,
    )
    return offsets, weights


@triton.jit
def _taps(position, in_size, out_size):
    """The two input positions that an output position lies between, and the second one's weight.

    The place `(position + 1/2) * in_size / out_size - 1/2`, at least 0, in whole numbers.
    """
    position = tl.minimum(position, out_size - 1)
    numerator = tl.maximum((2 * position + 1) * in_size - out_size, 0)
    low = tl.minimum(numerator // (2 * out_size), in_size - 1)
    rest = (numerator - low * (2 * out_size)).to(tl.float32)
    weight = tl.div_rn(rest, tl.zeros_like(rest) + 2 * out_size)
    return low, tl.minimum(low + 1, in_size - 1), weight


@triton.jit
def sample(
    plane_ptr,
    offsets,
    weights,
    INTERPOLATES: tl.constexpr,
    DTYPE: tl.constexpr,
    NAN: tl.constexpr = -_INFINITE,
):
    """Upsample a plane at the pixels whose `bilinear_taps` are given; NaN counts as `NAN`."""
    values = _load_finite(plane_ptr + offsets[0], DTYPE, NAN)
    if INTERPOLATES:
        values *= weights[0]
        for tap in tl.static_range(1, 4):
            values += _load_finite(plane_ptr + offsets[tap], DTYPE, NAN) * weights[tap]
    return values


@triton.jit
def _load_finite(pointers, DTYPE: tl.constexpr, NAN: tl.constexpr):
    """Load values as `make_finite` has them; comparisons with NaN are false."""
    values = tl.load(pointers).to(DTYPE)
    if NAN == -_INFINITE:
        values = tl.where(values > -_INFINITE, values, -_INFINITE)
    else:
        values = tl.where(values == values, tl.maximum(values, -_INFINITE), NAN)
    return tl.where(values < _INFINITE, values, _INFINITE)

"""What kernels upsample with: bilinear values of a tile of pixels, as F.interpolate has them."""

from __future__ import annotations

import triton
import triton.language as tl


def check_upsampling(in_size: tuple[int, int], out_size: tuple[int, int]) -> None:
    """Raise ValueError where the numerators of `taps` would leave 32 bits."""
    products = [in_side * out_side for in_side, out_side in zip(in_size, out_size)]
    if in_size != out_size and max(products) >= 1 << 30:
        raise ValueError(
            f"expected an output of which each side times that of the input, {in_size}, is less "
            f"than 2**30, got {out_size}; the torch backend has no such limit"
        )


@triton.jit
def taps(position, in_size, out_size):
    """The two input positions that an output position lies between, and the second one's weight.

    The place `(position + 1/2) * in_size / out_size - 1/2`, at least 0, in whole numbers.
    """
    numerator = tl.maximum((2 * position + 1) * in_size - out_size, 0)
    low = tl.minimum(numerator // (2 * out_size), in_size - 1)
    rest = (numerator - low * (2 * out_size)).to(tl.float32)
    weight = tl.div_rn(rest, tl.zeros_like(rest) + 2 * out_size)
    return low, tl.minimum(low + 1, in_size - 1), weight


@triton.jit
def upsample_tile(
    plane_ptr,
    row,
    column,
    height,
    width,
    out_height,
    out_width,
    row_stride,
    column_stride,
    INTERPOLATES: tl.constexpr,
    DTYPE: tl.constexpr,
):
    """Upsample a plane at the output pixels `row x column`; values outside of it mean nothing."""
    if INTERPOLATES:
        upper, lower, lower_part = taps(row, height, out_height)
        before, after, after_part = taps(column, width, out_width)
        lower_part = lower_part.to(DTYPE)[:, None]
        after_part = after_part.to(DTYPE)[None, :]
        upper_ptr = plane_ptr + (upper.to(tl.int64) * row_stride)[:, None]
        lower_ptr = plane_ptr + (lower.to(tl.int64) * row_stride)[:, None]
        before = (before * column_stride)[None, :]
        after = (after * column_stride)[None, :]
        top = tl.load(upper_ptr + before).to(DTYPE) * (1 - after_part)
        top += tl.load(upper_ptr + after).to(DTYPE) * after_part
        bottom = tl.load(lower_ptr + before).to(DTYPE) * (1 - after_part)
        bottom += tl.load(lower_ptr + after).to(DTYPE) * after_part
        values = top * (1 - lower_part) + bottom * lower_part
    else:
        rows = (tl.minimum(row, height - 1).to(tl.int64) * row_stride)[:, None]
        columns = (tl.minimum(column, width - 1) * column_stride)[None, :]
        values = tl.load(plane_ptr + rows + columns).to(DTYPE)
    return values

"""The Triton twin of `upsampled_ids`: one pass over the pixels, no upsampled plane is held."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher
from pps_torch.ops.painting.triton.upsampling import (
    VARYING,
    as_sampled,
    bilinear_taps,
    num_programs,
    sample,
    tile_pixels,
    upsampling_arguments,
)

# The tile of a program: four pixels a thread, so that what it carries from channel to channel stays
# in registers; its rows share the rows of logits that they are interpolated between.
_ROWS, _COLUMNS = 8, 64


@direct_operator("pps_torch::upsampled_ids")
def upsampled_ids(logits: Tensor, ids: Tensor, out_height: int, out_width: int) -> Tensor:
    """See [`upsampled_ids`][pps_torch.ops.painting.upsampled_ids.upsampled_ids]."""
    best = _output(logits, ids, out_height, out_width)
    logits = as_sampled(logits)
    arguments = upsampling_arguments(logits, out_height, out_width)
    num_images, num_channels = logits.shape[:-3].numel(), logits.shape[-3]
    tiles = num_programs(num_images, out_height, out_width, _ROWS, _COLUMNS)
    if best.numel() == 0:
        return best
    launch = Launcher("upsampled_ids", logits, ids, out_height, out_width)
    with torch.cuda.device_of(logits):
        launch(
            _choose_id_kernel,
            tiles,
            logits_ptr=logits,
            ids_ptr=ids.contiguous(),
            best_ptr=best,
            num_channels=num_channels,
            **arguments,
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
            maxnreg=96,  # fewer, which is what the compiler takes by itself, spill
        )
    return best


@upsampled_ids.register_fake
def _output(logits: Tensor, ids: Tensor, out_height: int, out_width: int) -> Tensor:
    """Allocate the result; all that is known of it while a graph is captured."""
    return ids.new_empty((*logits.shape[:-3], out_height, out_width))


@triton.jit(do_not_specialize=VARYING)
def _choose_id_kernel(
    logits_ptr,
    ids_ptr,
    best_ptr,
    num_channels,
    image_stride,
    channel_stride,
    row_stride,
    column_stride,
    height,
    width,
    out_height,
    out_width,
    INTERPOLATES: tl.constexpr,
    OFFSET: tl.constexpr,
    DTYPE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the id of the best channel of a tile of pixels."""
    image, row, column = tile_pixels(out_height, out_width, ROWS, COLUMNS)
    offsets, weights = bilinear_taps(
        row=row,
        column=column,
        height=height,
        width=width,
        out_height=out_height,
        out_width=out_width,
        row_stride=row_stride,
        column_stride=column_stride,
        INTERPOLATES=INTERPOLATES,
        OFFSET=OFFSET,
        DTYPE=DTYPE,
    )
    plane_ptr = logits_ptr + image * image_stride
    highest = sample(plane_ptr, offsets, weights, INTERPOLATES, DTYPE)
    winner = tl.zeros(row.shape, tl.int32)
    for channel in range(1, num_channels):
        plane_ptr += channel_stride
        values = sample(plane_ptr, offsets, weights, INTERPOLATES, DTYPE)
        winner = tl.where(values > highest, channel, winner)
        highest = tl.maximum(values, highest)
    pixel = (image * out_height + row) * out_width + column
    in_image = (row < out_height) & (column < out_width)
    tl.store(best_ptr + pixel, tl.load(ids_ptr + winner), mask=in_image)

"""The Triton twin of `upsampled_ids`: one pass over the pixels, no upsampled plane is held."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.painting.triton.upsampling import check_upsampling, upsample_tile

# The tile of a program: four pixels a thread, so that what it carries from channel to channel stays
# in registers; its rows share the rows of logits that they are interpolated between.
_ROWS, _COLUMNS = 8, 64


@torch.library.custom_op("pps_torch::upsampled_ids", mutates_args=())
def upsampled_ids(logits: Tensor, ids: Tensor, out_height: int, out_width: int) -> Tensor:
    """See [`upsampled_ids`][pps_torch.ops.painting.upsampled_ids.upsampled_ids]."""
    best = _output(logits, ids, out_height, out_width)
    num_images, num_channels, height, width = logits.shape
    check_upsampling((height, width), (out_height, out_width))
    if best.numel() == 0:
        return best
    image_stride, channel_stride, row_stride, column_stride = logits.stride()
    num_tiles = triton.cdiv(out_height, _ROWS) * triton.cdiv(out_width, _COLUMNS)
    with torch.cuda.device_of(logits):
        _choose_channel_kernel[(num_tiles, num_images)](
            logits_ptr=logits,
            ids_ptr=ids.contiguous(),
            best_ptr=best,
            image_stride=image_stride,
            channel_stride=channel_stride,
            row_stride=row_stride,
            column_stride=column_stride,
            num_channels=num_channels,
            height=height,
            width=width,
            out_height=out_height,
            out_width=out_width,
            INTERPOLATES=(height, width) != (out_height, out_width),
            DTYPE=tl.float64 if logits.dtype == torch.float64 else tl.float32,
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
        )
    return best


@upsampled_ids.register_fake
def _output(logits: Tensor, ids: Tensor, out_height: int, out_width: int) -> Tensor:
    """Allocate the result; all that is known of it while a graph is captured."""
    return ids.new_empty((logits.shape[0], out_height, out_width))


@triton.jit(do_not_specialize=["height", "width", "out_height"])
def _choose_channel_kernel(
    logits_ptr,
    ids_ptr,
    best_ptr,
    image_stride,
    channel_stride,
    row_stride,
    column_stride,
    num_channels,
    height,
    width,
    out_height,
    out_width,
    INTERPOLATES: tl.constexpr,
    DTYPE: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Write the id of the best channel of a tile of pixels."""
    # The tile of this program.
    image = tl.program_id(1).to(tl.int64)
    tiles_a_row = tl.cdiv(out_width, COLUMNS)
    row = tl.program_id(0) // tiles_a_row * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(0) % tiles_a_row * COLUMNS + tl.arange(0, COLUMNS)
    plane_ptr = logits_ptr + image * image_stride
    highest = tl.full((ROWS, COLUMNS), float("-inf"), DTYPE)
    winner = tl.zeros((ROWS, COLUMNS), tl.int32)
    # Channel by channel; a later one must be strictly higher.
    for channel in range(num_channels):
        values = upsample_tile(
            plane_ptr=plane_ptr,
            row=row,
            column=column,
            height=height,
            width=width,
            out_height=out_height,
            out_width=out_width,
            row_stride=row_stride,
            column_stride=column_stride,
            INTERPOLATES=INTERPOLATES,
            DTYPE=DTYPE,
        )
        is_higher = (values > highest) | (channel == 0)
        winner = tl.where(is_higher, channel, winner)
        highest = tl.where(is_higher, values, highest)
        plane_ptr += channel_stride
    # From channels to ids.
    in_image = (row < out_height)[:, None] & (column < out_width)[None, :]
    pixel = (image * out_height + row.to(tl.int64)[:, None]) * out_width + column[None, :]
    tl.store(best_ptr + pixel, tl.load(ids_ptr + winner), mask=in_image)

"""The Triton twin of `pps_channels`: each map is read once, each channel is written once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Pixels of a program: eight a thread, enough loads under way at once to hide their latency.
_PIXELS = 1024


@torch.library.custom_op("pps_torch::pps_channels", mutates_args=())
def pps_channels(
    segment: Tensor, part: Tensor, sids: Tensor, iids: Tensor, pid_of_sid_flat: Tensor
) -> Tensor:
    """See [`pps_channels`][pps_torch.ops.painting.pps_channels.pps_channels]."""
    pps = _output(segment, part, sids, iids, pid_of_sid_flat)
    if pps.numel() == 0:
        return pps
    num_images, num_pixels = len(segment), segment.shape[1:].numel()
    num_rows, num_columns = pid_of_sid_flat.shape
    with torch.cuda.device_of(segment):
        _look_up_kernel[(triton.cdiv(num_pixels, _PIXELS), num_images)](
            segment_ptr=segment.contiguous(),
            part_ptr=part.contiguous(),
            sids_ptr=sids.contiguous(),
            iids_ptr=iids.contiguous(),
            pids_ptr=pid_of_sid_flat.contiguous(),
            pps_ptr=pps,
            num_pixels=num_pixels,
            num_segments=sids.shape[1],
            num_rows=num_rows,
            num_columns=num_columns,
            BLOCK=_PIXELS,
        )
    return pps


@pps_channels.register_fake
def _output(
    segment: Tensor, part: Tensor, sids: Tensor, iids: Tensor, pid_of_sid_flat: Tensor
) -> Tensor:
    """Allocate the result; all that is known of it while a graph is captured."""
    num_images, height, width = segment.shape
    return segment.new_empty((num_images, 3, height, width), dtype=torch.int32)


@triton.jit(do_not_specialize=["num_segments", "num_rows"])
def _look_up_kernel(
    segment_ptr,
    part_ptr,
    sids_ptr,
    iids_ptr,
    pids_ptr,
    pps_ptr,
    num_pixels,
    num_segments,
    num_rows,
    num_columns,
    BLOCK: tl.constexpr,
):
    """Look up the channels of a block of pixels.

    An id outside of a table takes the entry that stands for such ids: segment 0, the last row of
    the parts, their last column.
    """
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    segment = tl.load(segment_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    part = tl.load(part_ptr + image * num_pixels + pixel, mask=in_image, other=0).to(tl.int64)
    segment = segment.to(tl.int64)
    segment = tl.where((segment < 0) | (segment >= num_segments), 0, segment)
    sid = tl.load(sids_ptr + image * num_segments + segment)
    iid = tl.load(iids_ptr + image * num_segments + segment)
    row = tl.where((sid < 0) | (sid >= num_rows), num_rows - 1, sid)
    column = tl.where((part < 0) | (part >= num_columns), num_columns - 1, part)
    pid = tl.load(pids_ptr + row * num_columns + column, mask=iid > 0, other=0)
    pps_ptr += image * 3 * num_pixels
    tl.store(pps_ptr + pixel, sid.to(tl.int32), mask=in_image)
    pps_ptr += num_pixels
    tl.store(pps_ptr + pixel, iid.to(tl.int32), mask=in_image)
    pps_ptr += num_pixels
    tl.store(pps_ptr + pixel, pid.to(tl.int32), mask=in_image)

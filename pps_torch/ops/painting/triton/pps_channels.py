"""The Triton twin of `pps_channels`: each map is read once, each channel is written once."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks

# Pixels of a program: eight a thread, enough loads under way at once to hide their latency.
_PIXELS = 1024

# Segments that a program numbers, and that it compares them with at a time: 8 pairs a thread.
_SEGMENTS = 32


@direct_operator("pps_torch::pps_channels")
def pps_channels(
    segment: Tensor, part: Tensor, category_ids: Tensor, pid_of_sid_flat: Tensor, ignore_label: int
) -> Tensor:
    """See [`pps_channels`][pps_torch.ops.painting.pps_channels.pps_channels]."""
    pps = _output(segment, part, category_ids, pid_of_sid_flat, ignore_label)
    if pps.numel() == 0:
        return pps
    num_images, num_pixels = segment.shape[:-2].numel(), segment.shape[-2:].numel()
    num_slots = category_ids.shape[-1] + 1
    num_rows, num_columns = pid_of_sid_flat.shape
    sids_iids = category_ids.new_empty((num_images, 2, num_slots), dtype=torch.int64)
    launch = Launcher("pps_channels", segment, part, category_ids, pid_of_sid_flat, ignore_label)
    with torch.cuda.device_of(segment):
        launch(
            _number_instances_kernel,
            num_images * num_blocks(num_slots, _SEGMENTS),
            category_ids_ptr=category_ids.contiguous(),
            sids_iids_ptr=sids_iids,
            num_slots=num_slots,
            ignore_label=ignore_label,
            BLOCK=_SEGMENTS,
        )
        launch(
            _look_up_kernel,
            num_images * num_blocks(num_pixels, _PIXELS),
            segment_ptr=segment.contiguous(),
            part_ptr=part.contiguous(),
            sids_iids_ptr=sids_iids,
            pids_ptr=pid_of_sid_flat.contiguous(),
            pps_ptr=pps,
            num_pixels=num_pixels,
            num_slots=num_slots,
            num_rows=num_rows,
            num_columns=num_columns,
            BLOCK=_PIXELS,
        )
    return pps


@pps_channels.register_fake
def _output(
    segment: Tensor, part: Tensor, category_ids: Tensor, pid_of_sid_flat: Tensor, ignore_label: int
) -> Tensor:
    """Allocate the result; all that is known of it while a graph is captured."""
    return segment.new_empty((*segment.shape[:-2], 3, *segment.shape[-2:]), dtype=torch.int32)


@triton.jit(do_not_specialize=["num_slots", "ignore_label"])
def _number_instances_kernel(
    category_ids_ptr, sids_iids_ptr, num_slots, ignore_label, BLOCK: tl.constexpr
):
    """Write scene id and instance of a block of slots: slot 0 is void, then come the segments."""
    image, start = block_of_image(num_slots, BLOCK)
    slot = start + tl.arange(0, BLOCK)
    category_ids_ptr += image * (num_slots - 1) - 1
    in_table = slot < num_slots
    category = tl.load(category_ids_ptr + slot, mask=in_table & (slot > 0), other=-1).to(tl.int64)
    iid = tl.zeros((BLOCK,), tl.int32)
    for first in range(1, num_slots, BLOCK):
        other = first + tl.arange(0, BLOCK)
        others = tl.load(category_ids_ptr + other, mask=other < num_slots, other=-1)
        is_same = category[:, None] == others.to(tl.int64)[None, :]
        iid += tl.sum((is_same & (other[None, :] <= slot[:, None])).to(tl.int32), 1)
    is_used = (category >= 0) & (category < 2**31)  # what int32 cannot hold is void
    sids_iids_ptr += image * 2 * num_slots
    tl.store(sids_iids_ptr + slot, tl.where(is_used, category, ignore_label), mask=in_table)
    sids_iids_ptr += num_slots
    tl.store(sids_iids_ptr + slot, tl.where(is_used, iid, 0), mask=in_table)


@triton.jit(do_not_specialize=["num_slots", "num_rows"])
def _look_up_kernel(
    segment_ptr,
    part_ptr,
    sids_iids_ptr,
    pids_ptr,
    pps_ptr,
    num_pixels,
    num_slots,
    num_rows,
    num_columns,
    BLOCK: tl.constexpr,
):
    """Look up the channels of a block of pixels.

    An id outside of a table takes the entry that stands for such ids: slot 0, the last row of
    the parts, their last column.
    """
    image, start = block_of_image(num_pixels, BLOCK)
    pixel = start + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    slot = tl.load(segment_ptr + image * num_pixels + pixel, mask=in_image, other=0).to(tl.int64)
    part = tl.load(part_ptr + image * num_pixels + pixel, mask=in_image, other=0).to(tl.int64)
    slot = tl.where((slot < 0) | (slot >= num_slots), 0, slot)
    sids_iids_ptr += image * 2 * num_slots
    sid = tl.load(sids_iids_ptr + slot)
    iid = tl.load(sids_iids_ptr + num_slots + slot)
    row = tl.where((sid < 0) | (sid >= num_rows), num_rows - 1, sid)
    column = tl.where((part < 0) | (part >= num_columns), num_columns - 1, part)
    pid = tl.load(pids_ptr + row * num_columns + column, mask=iid > 0, other=0)
    pps_ptr += image * 3 * num_pixels
    tl.store(pps_ptr + pixel, sid.to(tl.int32), mask=in_image)
    pps_ptr += num_pixels
    tl.store(pps_ptr + pixel, iid.to(tl.int32), mask=in_image)
    pps_ptr += num_pixels
    tl.store(pps_ptr + pixel, pid.to(tl.int32), mask=in_image)

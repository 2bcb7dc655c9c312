"""The Triton twin of `fill_stuff`: one pass that counts, one that paints."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.key_counts import count_keys
from pps_torch.ops.painting.triton.paint_ids import paint

# Pixels of a program: eight a thread, enough loads under way at once to hide their latency; and few
# distinct slots, as neighbours are alike, so that each is one atomic addition.
_PIXELS = 1024

# Slots that the one program of an image numbers at a time: most images need one step.
_SLOTS = 256


@torch.library.custom_op("pps_torch::fill_stuff", mutates_args=())
def fill_stuff(
    owner: Tensor, keep: Tensor, sem_seg: Tensor, stuff_ids: Tensor, least_area: int
) -> tuple[Tensor, Tensor, Tensor]:
    """See [`fill_stuff`][pps_torch.ops.painting.fill_stuff.fill_stuff]."""
    panoptic_seg, segment_ids, areas = _outputs(owner, keep, sem_seg, stuff_ids, least_area)
    areas.zero_()
    num_images, num_instances = keep.shape
    num_pixels = owner.shape[1:].numel()
    if num_images == 0:
        return panoptic_seg, segment_ids, areas
    with torch.cuda.device_of(owner):
        if num_pixels:
            _count_slots_kernel[(triton.cdiv(num_pixels, _PIXELS), num_images)](
                owner_ptr=owner.contiguous(),
                label_ptr=sem_seg.contiguous(),
                stuff_ptr=stuff_ids.contiguous(),
                slot_ptr=panoptic_seg,  # until it is painted
                areas_ptr=areas,
                num_pixels=num_pixels,
                num_instances=num_instances,
                num_stuff=stuff_ids.numel(),
                BLOCK=_PIXELS,
            )
        if areas.numel():
            _number_segments_kernel[(num_images,)](
                keep_ptr=keep.contiguous(),
                areas_ptr=areas,
                segment_ids_ptr=segment_ids,
                num_instances=num_instances,
                num_slots=areas.shape[1],
                least_area=least_area,
                BLOCK=_SLOTS,
            )
    paint(owner=panoptic_seg, ids=segment_ids, painted=panoptic_seg)
    return panoptic_seg, segment_ids, areas


@fill_stuff.register_fake
def _outputs(
    owner: Tensor, keep: Tensor, sem_seg: Tensor, stuff_ids: Tensor, least_area: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Allocate the results; all that is known of them while a graph is captured."""
    num_images, num_instances = keep.shape
    areas = keep.new_empty((num_images, num_instances + stuff_ids.numel()), dtype=torch.int64)
    panoptic_seg = owner.new_empty(owner.shape, dtype=torch.int32)
    return panoptic_seg, torch.empty_like(areas), areas


@triton.jit(do_not_specialize=["num_instances", "num_stuff"])
def _count_slots_kernel(
    owner_ptr,
    label_ptr,
    stuff_ptr,
    slot_ptr,
    areas_ptr,
    num_pixels,
    num_instances,
    num_stuff,
    BLOCK: tl.constexpr,
):
    """Write the slot of each pixel, an instance 1..N, a class N + 1..N + K, or 0; count slots."""
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    slot = tl.load(owner_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    is_free = (slot == 0) & in_image
    if tl.max(is_free.to(tl.int32), 0) != 0:
        label = tl.load(label_ptr + image * num_pixels + pixel, mask=in_image, other=0)
        for index in range(num_stuff):
            stuff_id = tl.load(stuff_ptr + index)
            narrow_id = stuff_id.to(label.dtype)  # an id that it changes is no label
            is_stuff = is_free & (label == narrow_id) & (narrow_id.to(tl.int64) == stuff_id)
            slot = tl.where(is_stuff, num_instances + index + 1, slot)
    tl.store(slot_ptr + image * num_pixels + pixel, slot, mask=in_image)
    count_keys(slot - 1, areas_ptr + image * (num_instances + num_stuff))


@triton.jit(do_not_specialize=["num_instances", "num_slots"])
def _number_segments_kernel(
    keep_ptr,
    areas_ptr,
    segment_ids_ptr,
    num_instances,
    num_slots,
    least_area,
    BLOCK: tl.constexpr,
):
    """Number the kept instances and the large enough classes of an image from 1 on."""
    image = tl.program_id(0).to(tl.int64)
    keep_ptr += image * num_instances
    areas_ptr += image * num_slots
    segment_ids_ptr += image * num_slots
    num_before = tl.zeros((), tl.int64)
    for first in range(0, num_slots, BLOCK):
        slot = first + tl.arange(0, BLOCK)
        in_table = slot < num_slots
        kept = tl.load(keep_ptr + slot, mask=slot < num_instances, other=0) != 0
        area = tl.load(areas_ptr + slot, mask=in_table, other=0)
        is_stuff = (slot >= num_instances) & in_table & (area >= least_area)
        is_segment = (kept | is_stuff).to(tl.int64)
        segment_id = num_before + tl.cumsum(is_segment, 0)
        tl.store(segment_ids_ptr + slot, segment_id * is_segment, mask=in_table)
        num_before += tl.sum(is_segment, 0)

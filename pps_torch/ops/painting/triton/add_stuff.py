"""The Triton twin of `add_stuff`: one pass that counts, a table, and one pass that paints."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.counting.triton.key_counts import count_keys
from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.painting.triton.paint_ids import paint_ids
from pps_torch.reserved import ABSENT

# Pixels of a program: eight a thread, enough loads under way at once to hide their latency; and few
# distinct slots, as neighbours are alike, so that each is one atomic addition.
_PIXELS = 1024

# Slots that the one program of an image numbers at a time: most images need one step.
_SLOTS = 256

#: The fields of a `PanopticSegmentation`, in their order.
Segments = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]

_ABSENT = tl.constexpr(ABSENT)


@direct_operator("pps_torch::add_stuff")
def add_stuff(
    owner: Tensor,
    keep: Tensor,
    order: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    sources: Tensor | None,
    least_area: int,
) -> Segments:
    """See [`add_stuff`][pps_torch.ops.painting.add_stuff.add_stuff]."""
    inputs = (keep, order, scores, pred_classes, sem_seg, stuff_ids, sources, least_area)
    segments = _outputs(owner, *inputs)
    counts = keep.new_zeros(segments[1].shape, dtype=torch.int32)
    with torch.cuda.device_of(owner):
        launch = Launcher("add_stuff", owner, *inputs)
        write_segments(launch, segments, counts, owner, *inputs)
    return segments


@add_stuff.register_fake
def _outputs(
    owner: Tensor,
    keep: Tensor,
    order: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    sources: Tensor | None,
    least_area: int,
) -> Segments:
    """Allocate the results; all that is known of them while a graph is captured."""
    return new_segments(scores, sem_seg, stuff_ids)


def new_segments(scores: Tensor, sem_seg: Tensor, stuff_ids: Tensor) -> Segments:
    """Allocate the fields of a `PanopticSegmentation` of images `(*B, H, W)`."""
    *batch, num_instances = scores.shape
    category_ids = stuff_ids.new_empty((*batch, num_instances + stuff_ids.numel()))
    return fields_beside(category_ids, scores.dtype, sem_seg.shape[-2:])


def fields_beside(category_ids: Tensor, score_dtype: torch.dtype, size: Sequence[int]) -> Segments:
    """Allocate the other fields beside `category_ids (*B, S)` int64, for maps of `(H, W)`."""
    batch = category_ids.shape[:-1]
    return (
        category_ids.new_empty((*batch, *size), dtype=torch.int32),
        category_ids,
        torch.empty_like(category_ids, dtype=torch.bool),
        torch.empty_like(category_ids, dtype=score_dtype),
        torch.empty_like(category_ids),
        torch.empty_like(category_ids),
        category_ids.new_empty(batch),
    )


def write_segments(
    launch: Launcher,
    segments: Segments,
    counts: Tensor,
    owner: Tensor,
    keep: Tensor,
    order: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    sources: Tensor | None,
    least_area: int,
) -> None:
    """Launch what fills `segments` of images `(*B, H, W)`; the map among them may be `owner`.

    `counts` is int32, and ends in B x (N + K) zeros.
    """
    panoptic_seg, category_ids, is_thing, segment_scores, areas, source, num_segments = segments
    num_images, num_instances = keep.shape[:-1].numel(), keep.shape[-1]
    num_pixels = owner.shape[-2:].numel()
    first_count = counts.numel() - category_ids.numel()
    if num_images == 0:
        return
    stuff_ids = stuff_ids.contiguous()
    if num_pixels:
        launch(
            _count_slots_kernel,
            num_images * num_blocks(num_pixels, _PIXELS),
            owner_ptr=owner.contiguous(),
            label_ptr=sem_seg.contiguous(),
            stuff_ptr=stuff_ids,
            slot_ptr=panoptic_seg,  # until it is painted
            counts_ptr=counts,
            first_count=first_count,
            num_pixels=num_pixels,
            num_instances=num_instances,
            num_stuff=stuff_ids.numel(),
            BLOCK=_PIXELS,
        )
    segment_ids = torch.empty_like(category_ids, dtype=torch.int32)
    launch(
        _fill_table_kernel,
        num_images,
        keep_ptr=keep.contiguous(),
        order_ptr=order.contiguous(),
        scores_ptr=scores.contiguous(),
        classes_ptr=pred_classes.contiguous(),
        stuff_ptr=stuff_ids,
        sources_ptr=order if sources is None else sources.contiguous(),
        counts_ptr=counts,
        first_count=first_count,
        segment_ids_ptr=segment_ids,
        category_ids_ptr=category_ids,
        is_thing_ptr=is_thing,
        segment_scores_ptr=segment_scores,
        areas_ptr=areas,
        source_ptr=source,
        num_segments_ptr=num_segments,
        num_instances=num_instances,
        num_slots=category_ids.shape[-1],
        least_area=least_area,
        HAS_SOURCES=sources is not None,
        BLOCK=_SLOTS,
    )
    paint_ids(launch, owner=panoptic_seg, ids=segment_ids, painted=panoptic_seg)


@triton.jit(do_not_specialize=["first_count", "num_instances", "num_stuff"])
def _count_slots_kernel(
    owner_ptr,
    label_ptr,
    stuff_ptr,
    slot_ptr,
    counts_ptr,
    first_count,
    num_pixels,
    num_instances,
    num_stuff,
    BLOCK: tl.constexpr,
):
    """Write the slot of each pixel, an instance 1..N, a class N + 1..N + K, or 0; count slots."""
    image, start = block_of_image(num_pixels, BLOCK)
    pixel = start + tl.arange(0, BLOCK)
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
    count_keys(slot - 1, counts_ptr + first_count + image * (num_instances + num_stuff))


@triton.jit(do_not_specialize=["first_count", "num_instances", "num_slots", "least_area"])
def _fill_table_kernel(
    keep_ptr,
    order_ptr,
    scores_ptr,
    classes_ptr,
    stuff_ptr,
    sources_ptr,
    counts_ptr,
    first_count,
    segment_ids_ptr,
    category_ids_ptr,
    is_thing_ptr,
    segment_scores_ptr,
    areas_ptr,
    source_ptr,
    num_segments_ptr,
    num_instances,
    num_slots,
    least_area,
    HAS_SOURCES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Number the kept instances and the large enough classes of an image, and write their rows."""
    image = tl.program_id(0).to(tl.int64)
    instances, slots = image * num_instances, image * num_slots
    counts_ptr += first_count
    num_segments = tl.zeros((), tl.int32)
    for first in range(0, num_slots, BLOCK):
        # The numbers of some slots, from 1 on; 0 for those that are no segment.
        slot = first + tl.arange(0, BLOCK)
        is_instance = slot < num_instances
        is_class = (slot >= num_instances) & (slot < num_slots)
        area = tl.load(counts_ptr + slots + slot, mask=slot < num_slots, other=0).to(tl.int64)
        kept = tl.load(keep_ptr + instances + slot, mask=is_instance, other=0) != 0
        is_segment = kept | (is_class & (area >= least_area))
        number = num_segments + tl.cumsum(is_segment.to(tl.int32), 0)
        segment_id = tl.where(is_segment, number, 0)
        tl.store(segment_ids_ptr + slots + slot, segment_id, mask=slot < num_slots)
        num_segments += tl.sum(is_segment.to(tl.int32), 0)
        # What their rows tell.
        index = tl.load(order_ptr + instances + slot, mask=kept, other=0)
        source = index
        if HAS_SOURCES:
            source = tl.load(sources_ptr + instances + index, mask=kept, other=0)
        stuff_id = tl.load(stuff_ptr + slot - num_instances, mask=is_class, other=0)
        category = tl.load(classes_ptr + instances + index, mask=kept, other=0).to(tl.int64)
        score = tl.load(scores_ptr + instances + index, mask=kept, other=0)
        row = slots + number - 1
        tl.store(category_ids_ptr + row, tl.where(kept, category, stuff_id), mask=is_segment)
        tl.store(is_thing_ptr + row, kept, mask=is_segment)
        tl.store(segment_scores_ptr + row, score, mask=is_segment)
        tl.store(areas_ptr + row, area, mask=is_segment)
        tl.store(source_ptr + row, tl.where(kept, source, _ABSENT), mask=is_segment)
    tl.store(num_segments_ptr + image, num_segments.to(tl.int64))
    # The rows that no segment has.
    for first in range(0, num_slots, BLOCK):
        row = first + tl.arange(0, BLOCK)
        is_unused = (row >= num_segments) & (row < num_slots)
        tl.store(category_ids_ptr + slots + row, _ABSENT, mask=is_unused)
        tl.store(is_thing_ptr + slots + row, 0, mask=is_unused)
        tl.store(segment_scores_ptr + slots + row, 0.0, mask=is_unused)
        tl.store(areas_ptr + slots + row, 0, mask=is_unused)
        tl.store(source_ptr + slots + row, _ABSENT, mask=is_unused)

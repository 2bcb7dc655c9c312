"""The Triton twins of `segment_classes` and `count_unclassed`: one small kernel each."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.scoring.contract import UNKNOWN, UNUSED, VOID

BLOCK = 128  # one segment a thread of Triton's four warps: tables are short


@direct_operator("pps_torch::segment_classes")
def segment_classes(category_ids: Tensor, class_ids: Tensor) -> Tensor:
    """See [`segment_classes`][pps_torch.ops.scoring.segment_classes.segment_classes]."""
    num_images, num_rows = category_ids.shape
    classes = class_ids.new_empty(num_images, num_rows + 2, dtype=torch.int64)
    if num_images:
        launch = Launcher("segment_classes", category_ids, class_ids)
        with torch.cuda.device_of(class_ids):
            launch(
                _look_up_classes_kernel,
                num_images * num_blocks(num_rows + 2, BLOCK),
                category_ids_ptr=category_ids.contiguous(),
                class_ids_ptr=class_ids.contiguous(),
                classes_ptr=classes,
                num_rows=num_rows,
                num_classes=len(class_ids),
            )
    return classes


@segment_classes.register_fake
def _(category_ids: Tensor, class_ids: Tensor) -> Tensor:
    num_images, num_rows = category_ids.shape
    return class_ids.new_empty(num_images, num_rows + 2, dtype=torch.int64)


@direct_operator("pps_torch::count_unclassed")
def count_unclassed(classes: Tensor, areas: Tensor) -> Tensor:
    """See [`count_unclassed`][pps_torch.ops.scoring.segment_classes.count_unclassed]."""
    counts = classes.new_zeros(2)
    if classes.numel():
        launch = Launcher("count_unclassed", classes, areas)
        with torch.cuda.device_of(classes):
            launch(
                _count_unclassed_kernel,
                num_blocks(classes.numel(), BLOCK),
                classes_ptr=classes.contiguous(),
                areas_ptr=areas.contiguous(),
                counts_ptr=counts,
                num_segments=classes.numel(),
            )
    return counts


@count_unclassed.register_fake
def _(classes: Tensor, areas: Tensor) -> Tensor:
    return classes.new_empty(2)


@triton.jit(do_not_specialize=["num_rows"])
def _look_up_classes_kernel(
    category_ids_ptr,
    class_ids_ptr,
    classes_ptr,
    num_rows,
    num_classes,
    BLOCK: tl.constexpr = BLOCK,
):
    """Look the categories of one image up in the list of classes."""
    image, start = block_of_image(num_rows + 2, BLOCK)
    segment = start + tl.arange(0, BLOCK)
    found = class_of_segment(
        category_ids_ptr + image * num_rows,
        segment,
        num_rows,
        class_ids_ptr,
        num_classes,
    )
    tl.store(classes_ptr + image * (num_rows + 2) + segment, found, mask=segment < num_rows + 2)


@triton.jit
def class_of_segment(
    category_ids_ptr,
    segment,
    num_rows,
    class_ids_ptr,
    num_classes,
    VOID: tl.constexpr = VOID,
    UNKNOWN: tl.constexpr = UNKNOWN,
    UNUSED: tl.constexpr = UNUSED,
):
    """The class index of segments of one image, from its table of `num_rows` categories."""
    is_row = (segment >= 1) & (segment <= num_rows)
    category = tl.load(category_ids_ptr + segment - 1, mask=is_row, other=0).to(tl.int64)
    found = tl.full(segment.shape, UNKNOWN, tl.int64)
    for index in range(num_classes):
        found = tl.where(category == tl.load(class_ids_ptr + index), index, found)
    found = tl.where(is_row & (category >= 0), found, UNUSED)
    return tl.where(segment == 0, VOID, found)


@triton.jit(do_not_specialize=["num_segments"])
def _count_unclassed_kernel(
    classes_ptr,
    areas_ptr,
    counts_ptr,
    num_segments,
    BLOCK: tl.constexpr = BLOCK,
):
    """Count a block of segments, flat over the batch."""
    segment = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_table = segment < num_segments
    segment_class = tl.load(classes_ptr + segment, mask=in_table, other=0)
    area = tl.load(areas_ptr + segment, mask=in_table, other=0)
    add_unclassed(counts_ptr, counts_ptr + 1, segment_class, area)


@triton.jit
def add_unclassed(
    pixels_ptr,
    segments_ptr,
    segment_class,
    area,
    UNKNOWN: tl.constexpr = UNKNOWN,
    UNUSED: tl.constexpr = UNUSED,
):
    """Add the pixels of unused rows and the segments of unknown categories to two counters."""
    num_pixels = tl.sum(tl.where(segment_class == UNUSED, area, 0), 0)
    num_segments = tl.sum((segment_class == UNKNOWN).to(tl.int64), 0)
    tl.atomic_add(pixels_ptr, num_pixels, mask=num_pixels > 0, sem="relaxed")
    tl.atomic_add(segments_ptr, num_segments, mask=num_segments > 0, sem="relaxed")

"""The Triton twin of `center_instances`: no upsampled logits or offsets are held."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.painting.contract import PROBABILITY_UNIT
from pps_torch.ops.painting.triton.center_peaks import list_peaks_kernel, select_centers_kernel
from pps_torch.ops.painting.triton.center_sums import (
    count_votes_kernel,
    score_kernel,
    sums_of_image,
)
from pps_torch.ops.painting.triton.doubles import bits_of_double
from pps_torch.ops.painting.triton.upsampling import (
    VARYING,
    bilinear_taps,
    num_programs,
    sample,
    tile_pixels,
    upsampling_arguments,
)

# The tile of a program: four pixels a thread, so that what it carries from channel to channel, or
# from centre to centre, stays in registers.
_TILE = {"ROWS": 8, "COLUMNS": 64}

# Pixels, peaks or classes of a program, or what the one program of an image takes at a time.
_BLOCK = 1024

# Centres whose classes a program counts out: their votes are read one class after another.
_CENTERS = 32

_UNIT = tl.constexpr(PROBABILITY_UNIT)
_Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@direct_operator("pps_torch::center_instances")
def center_instances(
    logits: Tensor,
    heatmap: Tensor,
    offsets: Tensor,
    thing_ids: Tensor,
    center_threshold: float,
    nms_kernel: int,
    top_k: int,
) -> _Outputs:
    """See [`center_instances`][pps_torch.ops.painting.center_instances.center_instances]."""
    inputs = (logits, heatmap, offsets, thing_ids, center_threshold, nms_kernel, top_k)
    outputs = _outputs(*inputs)
    owner, keep, order, scores, pred_classes, sem_seg, stuff_ids, centers = outputs
    num_classes = logits.shape[1]
    num_images, height, width = heatmap.shape
    heatmap, thing_ids = heatmap.contiguous(), thing_ids.contiguous()
    of_logits = upsampling_arguments(logits, height, width)
    of_offsets = upsampling_arguments(offsets, height, width)
    highest = F.max_pool2d(heatmap[:, None], nms_kernel, stride=1, padding=nms_kernel // 2)
    is_thing = thing_ids.new_empty((num_classes,), dtype=torch.bool)
    totals = heatmap.new_empty(heatmap.shape, dtype=_widened(logits))
    places = heatmap.new_empty((num_images, 2, top_k), dtype=_widened(offsets))
    heats, areas = heatmap.new_empty((num_images, top_k)), torch.empty_like(order)
    # Of each image: the numbers of peaks and of centres, and of each centre the votes of its
    # pixels for each class, and the sums of their rows, columns and probabilities.
    sums = order.new_zeros((num_images, 2 + top_k * (num_classes + 3)))
    of_sums = {"sums_ptr": sums, "num_centers": top_k, "num_classes": num_classes}
    tiles = num_programs(num_images, height, width, *_TILE.values())
    launch = Launcher("center_instances", *inputs)
    with torch.cuda.device_of(logits):
        launch(
            _split_classes_kernel,
            1,
            thing_ids_ptr=thing_ids,
            is_thing_ptr=is_thing,
            stuff_ids_ptr=stuff_ids,
            num_things=thing_ids.numel(),
            num_stuff=stuff_ids.numel(),
            num_classes=num_classes,
            BLOCK=_BLOCK,
        )
        if num_images == 0:
            return outputs
        launch(
            list_peaks_kernel,
            num_images * num_blocks(height * width, _BLOCK),
            heat_ptr=heatmap,
            highest_ptr=highest,
            peaks_ptr=owner,  # until pixels have owners
            **of_sums,
            num_pixels=height * width,
            threshold_bits=bits_of_double(max(center_threshold, 0.0)),
            BLOCK=_BLOCK,
        )
        launch(
            select_centers_kernel,
            num_images,
            heat_ptr=heatmap,
            peaks_ptr=owner,
            **of_sums,
            unsorted_ptr=pred_classes,  # until they are known
            order_ptr=order,
            centers_ptr=centers,
            places_ptr=places,
            num_pixels=height * width,
            width=width,
            BITS=tl.int64 if heatmap.dtype == torch.float64 else tl.int32,
            BLOCK=_BLOCK,
            num_warps=8,  # the one program of an image; with four it spills
        )
        launch(
            _choose_class_kernel,
            tiles,
            logits_ptr=logits,
            sem_seg_ptr=sem_seg,
            totals_ptr=totals,
            num_classes=num_classes,
            **of_logits,
            **_TILE,
        )
        launch(
            _group_pixels_kernel,
            tiles,
            offsets_ptr=offsets,
            sem_seg_ptr=sem_seg,
            is_thing_ptr=is_thing,
            places_ptr=places,
            owner_ptr=owner,
            **of_sums,
            **of_offsets,
            **_TILE,
            enable_fp_fusion=False,  # a fused square rounds otherwise, and breaks ties
        )
        launch(
            count_votes_kernel,
            num_images * num_blocks(top_k, _CENTERS),
            heat_ptr=heatmap,
            **of_sums,
            pred_classes_ptr=pred_classes,
            keep_ptr=keep,
            areas_ptr=areas,
            heats_ptr=heats,
            num_pixels=height * width,
            width=width,
            BLOCK=_CENTERS,
        )
        launch(
            _sum_probabilities_kernel,
            tiles,
            logits_ptr=logits,
            sem_seg_ptr=sem_seg,
            totals_ptr=totals,
            owner_ptr=owner,
            pred_classes_ptr=pred_classes,
            **of_sums,
            **of_logits,
            **_TILE,
        )
        launch(
            score_kernel,
            num_images * num_blocks(top_k, _CENTERS),
            **of_sums,
            areas_ptr=areas,
            heats_ptr=heats,
            scores_ptr=scores,
            BLOCK=_CENTERS,
        )
    return outputs


@center_instances.register_fake
def _outputs(
    logits: Tensor,
    heatmap: Tensor,
    offsets: Tensor,
    thing_ids: Tensor,
    center_threshold: float,
    nms_kernel: int,
    top_k: int,
) -> _Outputs:
    """Allocate the fields of `CenterInstances`; all that is known of them in a graph."""
    table = (heatmap.shape[0], top_k)
    return (
        heatmap.new_empty(heatmap.shape, dtype=torch.int32),
        heatmap.new_empty(table, dtype=torch.bool),
        thing_ids.new_empty(table),
        heatmap.new_empty(table),
        thing_ids.new_empty(table),
        heatmap.new_empty(heatmap.shape, dtype=torch.int32),
        thing_ids.new_empty((logits.shape[1] - thing_ids.shape[0],)),
        thing_ids.new_empty(table),
    )


def _widened(values: Tensor) -> torch.dtype:
    """The dtype that values are interpolated in."""
    return torch.promote_types(values.dtype, torch.float32)


@triton.jit(do_not_specialize=["num_things", "num_stuff", "num_classes"])
def _split_classes_kernel(
    thing_ids_ptr,
    is_thing_ptr,
    stuff_ids_ptr,
    num_things,
    num_stuff,
    num_classes,
    BLOCK: tl.constexpr,
):
    """Mark the classes that are things, and list the others in rising order."""
    num_before = tl.zeros((), tl.int32)
    for first in range(0, num_classes, BLOCK):
        category = first + tl.arange(0, BLOCK)
        is_thing = category < 0
        for index in range(num_things):
            is_thing = is_thing | (category == tl.load(thing_ids_ptr + index))
        tl.store(is_thing_ptr + category, is_thing, mask=category < num_classes)
        is_stuff = (category < num_classes) & ~is_thing
        position = num_before + tl.cumsum(is_stuff.to(tl.int32), 0) - 1
        tl.store(stuff_ids_ptr + position, category, mask=is_stuff & (position < num_stuff))
        num_before += tl.sum(is_stuff.to(tl.int32), 0)


@triton.jit(do_not_specialize=VARYING)
def _choose_class_kernel(
    logits_ptr,
    sem_seg_ptr,
    totals_ptr,
    num_classes,
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
    """Write the class with the highest logit, and one over its probability."""
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
    total = tl.full(row.shape, 1, DTYPE)
    winner = tl.zeros(row.shape, tl.int32)
    for category in range(1, num_classes):
        plane_ptr += channel_stride
        values = sample(plane_ptr, offsets, weights, INTERPOLATES, DTYPE)
        is_higher = values > highest
        fraction = tl.exp(-tl.abs(values - highest))
        total = tl.where(is_higher, total * fraction + 1, total + fraction)
        winner = tl.where(is_higher, category, winner)
        highest = tl.maximum(values, highest)
    pixel = (image * out_height + row) * out_width + column
    in_image = (row < out_height) & (column < out_width)
    tl.store(sem_seg_ptr + pixel, winner, mask=in_image)
    tl.store(totals_ptr + pixel, total, mask=in_image)


@triton.jit(do_not_specialize=["num_centers", "num_classes", *VARYING])
def _group_pixels_kernel(
    offsets_ptr,
    sem_seg_ptr,
    is_thing_ptr,
    places_ptr,
    owner_ptr,
    sums_ptr,
    num_centers,
    num_classes,
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
    """Give each thing pixel of a tile to the nearest centre, where it votes for its class."""
    image, row, column = tile_pixels(out_height, out_width, ROWS, COLUMNS)
    in_image = (row < out_height) & (column < out_width)
    pixel = (image * out_height + row) * out_width + column
    category = tl.load(sem_seg_ptr + pixel, mask=in_image, other=0)
    is_thing = in_image & (tl.load(is_thing_ptr + category) != 0)
    _, found_ptr, votes_ptr, rows_ptr, columns_ptr, _ = sums_of_image(
        sums_ptr, image, num_centers, num_classes
    )
    found = tl.load(found_ptr).to(tl.int32)
    owner = tl.zeros(row.shape, tl.int32)
    if (found > 0) & (tl.max(is_thing.to(tl.int32), 0) > 0):
        # Where the pixels point.
        taps, weights = bilinear_taps(
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
        plane_ptr = offsets_ptr + image * image_stride
        y = row.to(DTYPE) + sample(plane_ptr, taps, weights, INTERPOLATES, DTYPE, NAN=0.0)
        plane_ptr += channel_stride
        x = column.to(DTYPE) + sample(plane_ptr, taps, weights, INTERPOLATES, DTYPE, NAN=0.0)
        # The nearest centre; a later one must be strictly nearer.
        places_ptr += image * 2 * num_centers
        least = tl.full(row.shape, float("inf"), DTYPE)
        nearest = tl.full(row.shape, 1, tl.int32)
        for center in range(found):
            dy = y - tl.load(places_ptr + center)
            dx = x - tl.load(places_ptr + num_centers + center)
            distance = dy * dy + dx * dx
            nearest = tl.where(distance < least, center + 1, nearest)
            least = tl.minimum(distance, least)
        owner = tl.where(is_thing, nearest, 0)
        # Votes, and sums of positions: one addition for each centre and class of the tile.
        keys = tl.where(is_thing, (owner - 1) * num_classes + category, -1)
        key = tl.max(keys, 0)
        while key >= 0:
            is_key = keys == key
            center = key // num_classes
            number = tl.sum(is_key.to(tl.int32), 0).to(tl.int64)
            y_sum = tl.sum(tl.where(is_key, row, 0), 0).to(tl.int64)
            x_sum = tl.sum(tl.where(is_key, column, 0), 0).to(tl.int64)
            tl.atomic_add(votes_ptr + key, number, sem="relaxed")
            tl.atomic_add(rows_ptr + center, y_sum, sem="relaxed")
            tl.atomic_add(columns_ptr + center, x_sum, sem="relaxed")
            keys = tl.where(is_key, -1, keys)
            key = tl.max(keys, 0)
    tl.store(owner_ptr + pixel, owner, mask=in_image)


@triton.jit(do_not_specialize=["num_centers", "num_classes", *VARYING])
def _sum_probabilities_kernel(
    logits_ptr,
    sem_seg_ptr,
    totals_ptr,
    owner_ptr,
    pred_classes_ptr,
    sums_ptr,
    num_centers,
    num_classes,
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
    """Add up the probability of the class of its instance at each pixel of a tile."""
    image, row, column = tile_pixels(out_height, out_width, ROWS, COLUMNS)
    in_image = (row < out_height) & (column < out_width)
    pixel = (image * out_height + row) * out_width + column
    center = tl.load(owner_ptr + pixel, mask=in_image, other=0) - 1
    last = tl.max(center, 0)
    if last >= 0:
        # The probability, from that of the pixel's own class and the two logits.
        taps, weights = bilinear_taps(
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
        pred_class = tl.load(
            pred_classes_ptr + image * num_centers + center, mask=center >= 0, other=0
        )
        own_class = tl.load(sem_seg_ptr + pixel, mask=in_image, other=0).to(tl.int64)
        total = tl.load(totals_ptr + pixel, mask=in_image, other=1)
        logits_ptr += image * image_stride
        chosen = sample(
            logits_ptr + pred_class * channel_stride, taps, weights, INTERPOLATES, DTYPE
        )
        highest = sample(
            logits_ptr + own_class * channel_stride, taps, weights, INTERPOLATES, DTYPE
        )
        probability = tl.exp(chosen - highest) / total
        units = tl.floor(probability * _UNIT + 0.5).to(tl.int64)
        # One addition for each centre of the tile.
        _, _, _, _, _, probabilities_ptr = sums_of_image(sums_ptr, image, num_centers, num_classes)
        while last >= 0:
            is_last = center == last
            number = tl.sum(tl.where(is_last, units, 0), 0)
            tl.atomic_add(probabilities_ptr + last, number, sem="relaxed")
            center = tl.where(is_last, -1, center)
            last = tl.max(center, 0)

"""The Triton twin of `center_instances`: no upsampled logits or offsets are held."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from pps_torch.ops.painting.center_instances import PROBABILITY_UNIT
from pps_torch.ops.painting.triton.upsampling import (
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
_Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("pps_torch::center_instances", mutates_args=())
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
    outputs = _outputs(logits, heatmap, offsets, thing_ids, center_threshold, nms_kernel, top_k)
    sem_seg, owner, centers, pred_classes, areas, scores, stuff_ids = outputs
    num_classes = logits.shape[1]
    num_images, height, width = heatmap.shape
    heatmap, thing_ids = heatmap.contiguous(), thing_ids.contiguous()
    of_logits = upsampling_arguments(logits, height, width)
    of_offsets = upsampling_arguments(offsets, height, width)
    highest = F.max_pool2d(heatmap[:, None], nms_kernel, stride=1, padding=nms_kernel // 2)
    is_thing = thing_ids.new_empty((num_classes,), dtype=torch.bool)
    totals = heatmap.new_empty(heatmap.shape, dtype=_widened(logits))
    places = heatmap.new_empty((num_images, 2, top_k), dtype=_widened(offsets))
    heats = heatmap.new_empty((num_images, top_k))
    # Of each image: the numbers of peaks and of centres, and of each centre the votes of its
    # pixels for each class, and the sums of their rows, columns and probabilities.
    sums = areas.new_zeros((num_images, 2 + top_k * (num_classes + 3)))
    of_sums = {"sums_ptr": sums, "num_centers": top_k, "num_classes": num_classes}
    tiles = (num_programs(num_images, height, width, *_TILE.values()),)
    with torch.cuda.device_of(logits):
        _split_classes_kernel[(1,)](
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
        _list_peaks_kernel[(num_images * triton.cdiv(height * width, _BLOCK),)](
            heat_ptr=heatmap,
            highest_ptr=highest,
            peaks_ptr=owner,  # until pixels have owners
            **of_sums,
            num_pixels=height * width,
            THRESHOLD=max(center_threshold, 0.0),
            BLOCK=_BLOCK,
        )
        _select_centers_kernel[(num_images,)](
            heat_ptr=heatmap,
            peaks_ptr=owner,
            **of_sums,
            unsorted_ptr=areas,  # until they are counted
            centers_ptr=centers,
            places_ptr=places,
            num_pixels=height * width,
            width=width,
            BITS=tl.int64 if heatmap.dtype == torch.float64 else tl.int32,
            BLOCK=_BLOCK,
        )
        _choose_class_kernel[tiles](
            logits_ptr=logits,
            sem_seg_ptr=sem_seg,
            totals_ptr=totals,
            num_classes=num_classes,
            **of_logits,
            **_TILE,
        )
        _group_pixels_kernel[tiles](
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
        _count_votes_kernel[(num_images * triton.cdiv(top_k, _CENTERS),)](
            heat_ptr=heatmap,
            **of_sums,
            pred_classes_ptr=pred_classes,
            areas_ptr=areas,
            heats_ptr=heats,
            num_pixels=height * width,
            width=width,
            BLOCK=_CENTERS,
        )
        _sum_probabilities_kernel[tiles](
            logits_ptr=logits,
            sem_seg_ptr=sem_seg,
            totals_ptr=totals,
            owner_ptr=owner,
            pred_classes_ptr=pred_classes,
            **of_sums,
            **of_logits,
            **_TILE,
        )
        _score_kernel[(num_images * triton.cdiv(top_k, _CENTERS),)](
            **of_sums, areas_ptr=areas, heats_ptr=heats, scores_ptr=scores, BLOCK=_CENTERS
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
    maps = [heatmap.new_empty(heatmap.shape, dtype=torch.int32) for _ in range(2)]
    rows = [thing_ids.new_empty((heatmap.shape[0], top_k)) for _ in range(3)]
    scores = heatmap.new_empty((heatmap.shape[0], top_k))
    stuff_ids = thing_ids.new_empty((logits.shape[1] - thing_ids.shape[0],))
    return maps[0], maps[1], rows[0], rows[1], rows[2], scores, stuff_ids


def _widened(values: Tensor) -> torch.dtype:
    """The dtype that values are interpolated in."""
    return torch.promote_types(values.dtype, torch.float32)


@triton.jit
def _sums_of_image(sums_ptr, image, num_centers, num_classes):
    """Where an image has its number of peaks, of centres, the votes, and three sums a centre."""
    peaks_ptr = sums_ptr + image * (2 + num_centers * (num_classes + 3))
    votes_ptr = peaks_ptr + 2
    rows_ptr = votes_ptr + num_centers * num_classes
    columns_ptr = rows_ptr + num_centers
    return peaks_ptr, peaks_ptr + 1, votes_ptr, rows_ptr, columns_ptr, columns_ptr + num_centers


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


@triton.jit(do_not_specialize=["num_centers", "num_classes"])
def _list_peaks_kernel(
    heat_ptr,
    highest_ptr,
    peaks_ptr,
    sums_ptr,
    num_centers,
    num_classes,
    num_pixels,
    THRESHOLD: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add the pixels whose heat is above the threshold, and that none around exceeds, to a list."""
    num_blocks = tl.cdiv(num_pixels, BLOCK)
    image = (tl.program_id(0) // num_blocks).to(tl.int64)
    pixel = tl.program_id(0) % num_blocks * BLOCK + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    heat = tl.load(heat_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    highest = tl.load(highest_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    is_peak = in_image & (heat > THRESHOLD) & (heat == highest)
    number = tl.sum(is_peak.to(tl.int32), 0)
    if number > 0:
        num_peaks_ptr, _, _, _, _, _ = _sums_of_image(sums_ptr, image, num_centers, num_classes)
        first = tl.atomic_add(num_peaks_ptr, number.to(tl.int64), sem="relaxed")
        position = first + tl.cumsum(is_peak.to(tl.int32), 0) - 1
        tl.store(peaks_ptr + image * num_pixels + position, pixel, mask=is_peak)


@triton.jit(do_not_specialize=["num_centers", "num_classes", "width"])
def _select_centers_kernel(
    heat_ptr,
    peaks_ptr,
    sums_ptr,
    unsorted_ptr,
    centers_ptr,
    places_ptr,
    num_centers,
    num_classes,
    num_pixels,
    width,
    BITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Choose the peaks of an image that are strictly above the `num_centers`-th highest."""
    image = tl.program_id(0).to(tl.int64)
    num_peaks_ptr, found_ptr, _, _, _, _ = _sums_of_image(sums_ptr, image, num_centers, num_classes)
    num_peaks = tl.load(num_peaks_ptr).to(tl.int32)
    heat_ptr += image * num_pixels
    peaks_ptr += image * num_pixels
    unsorted_ptr += image * num_centers
    centers_ptr += image * num_centers
    places_ptr += image * 2 * num_centers
    # Heat is above 0, where floats are in the order of their bits: the bound is found bit by bit.
    bound = tl.zeros((), BITS)
    if num_peaks >= num_centers:
        for bit in range(2, BITS.primitive_bitwidth + 1):
            candidate = bound | (tl.full((), 1, BITS) << (BITS.primitive_bitwidth - bit))
            number = tl.zeros((), tl.int32)
            for first in range(0, num_peaks, BLOCK):
                pixel, bits = _load_peaks(peaks_ptr, heat_ptr, first, num_peaks, BITS, BLOCK)
                number += tl.sum((bits >= candidate).to(tl.int32), 0)
            bound = tl.where(number >= num_centers, candidate, bound)
    # The centres, in the order of the list, which differs from run to run.
    found = tl.zeros((), tl.int32)
    for first in range(0, num_peaks, BLOCK):
        pixel, bits = _load_peaks(peaks_ptr, heat_ptr, first, num_peaks, BITS, BLOCK)
        is_center = (bits > bound).to(tl.int32)
        position = found + tl.cumsum(is_center, 0) - 1
        tl.store(unsorted_ptr + position, pixel, mask=is_center != 0)
        found += tl.sum(is_center, 0)
    tl.store(found_ptr, found)
    tl.debug_barrier()  # other threads have stored what is loaded now
    # By their pixels: the rank of a centre is the number of those before it.
    for first in range(0, num_centers, BLOCK):
        position = first + tl.arange(0, BLOCK)
        is_center = position < found
        center = tl.load(unsorted_ptr + position, mask=is_center, other=0)
        rank = tl.zeros((BLOCK,), tl.int32)
        for other in range(found):
            rank += (tl.load(unsorted_ptr + other) < center).to(tl.int32)
        rank = tl.where(is_center, rank, position)
        in_table = position < num_centers
        tl.store(centers_ptr + rank, tl.where(is_center, center, num_pixels), mask=in_table)
        tl.store(places_ptr + rank, center // width, mask=in_table)
        tl.store(places_ptr + num_centers + rank, center % width, mask=in_table)


@triton.jit
def _load_peaks(peaks_ptr, heat_ptr, first, num_peaks, BITS: tl.constexpr, BLOCK: tl.constexpr):
    """Load peaks and the bits of their heat, 0 behind the last one."""
    position = first + tl.arange(0, BLOCK)
    pixel = tl.load(peaks_ptr + position, mask=position < num_peaks, other=0)
    heat = tl.load(heat_ptr + pixel, mask=position < num_peaks, other=0)
    return pixel, heat.to(BITS, bitcast=True)


@triton.jit(do_not_specialize=["height", "width", "out_height"])
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


@triton.jit(do_not_specialize=["num_centers", "num_classes", "height", "width", "out_height"])
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
    _, found_ptr, votes_ptr, rows_ptr, columns_ptr, _ = _sums_of_image(
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


@triton.jit(do_not_specialize=["num_centers", "num_classes", "width"])
def _count_votes_kernel(
    heat_ptr,
    sums_ptr,
    pred_classes_ptr,
    areas_ptr,
    heats_ptr,
    num_centers,
    num_classes,
    num_pixels,
    width,
    BLOCK: tl.constexpr,
):
    """Find the most frequent class and the area of centres, and the heat at their mean position."""
    num_blocks = tl.cdiv(num_centers, BLOCK)
    image = (tl.program_id(0) // num_blocks).to(tl.int64)
    center = tl.program_id(0) % num_blocks * BLOCK + tl.arange(0, BLOCK)
    in_table = center < num_centers
    _, _, votes_ptr, rows_ptr, columns_ptr, _ = _sums_of_image(
        sums_ptr, image, num_centers, num_classes
    )
    most = tl.zeros((BLOCK,), tl.int64)
    area = tl.zeros((BLOCK,), tl.int64)
    winner = tl.zeros((BLOCK,), tl.int64)
    for category in range(num_classes):
        votes = tl.load(votes_ptr + center * num_classes + category, mask=in_table, other=0)
        winner = tl.where(votes > most, category, winner)
        most = tl.maximum(votes, most)
        area += votes
    y = tl.load(rows_ptr + center, mask=in_table, other=0) // tl.maximum(area, 1)
    x = tl.load(columns_ptr + center, mask=in_table, other=0) // tl.maximum(area, 1)
    heat = tl.load(heat_ptr + image * num_pixels + y * width + x, mask=in_table, other=0)
    row = image * num_centers + center
    tl.store(pred_classes_ptr + row, winner, mask=in_table)
    tl.store(areas_ptr + row, area, mask=in_table)
    tl.store(heats_ptr + row, heat, mask=in_table)


@triton.jit(do_not_specialize=["num_centers", "num_classes", "height", "width", "out_height"])
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
        _, _, _, _, _, probabilities_ptr = _sums_of_image(sums_ptr, image, num_centers, num_classes)
        while last >= 0:
            is_last = center == last
            number = tl.sum(tl.where(is_last, units, 0), 0)
            tl.atomic_add(probabilities_ptr + last, number, sem="relaxed")
            center = tl.where(is_last, -1, center)
            last = tl.max(center, 0)


@triton.jit(do_not_specialize=["num_centers", "num_classes"])
def _score_kernel(
    sums_ptr, areas_ptr, heats_ptr, scores_ptr, num_centers, num_classes, BLOCK: tl.constexpr
):
    """Multiply the mean probability of each centre with its heat."""
    num_blocks = tl.cdiv(num_centers, BLOCK)
    image = (tl.program_id(0) // num_blocks).to(tl.int64)
    center = tl.program_id(0) % num_blocks * BLOCK + tl.arange(0, BLOCK)
    in_table = center < num_centers
    _, _, _, _, _, probabilities_ptr = _sums_of_image(sums_ptr, image, num_centers, num_classes)
    row = image * num_centers + center
    probability = tl.load(probabilities_ptr + center, mask=in_table, other=0).to(tl.float64)
    area = tl.load(areas_ptr + row, mask=in_table, other=1)
    heat = tl.load(heats_ptr + row, mask=in_table, other=0).to(tl.float64)
    score = probability / _UNIT / tl.maximum(area, 1).to(tl.float64) * heat
    tl.store(scores_ptr + row, score, mask=in_table)

"""The Triton twin of `query_segments`: two passes over the pixels, and two over the queries."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.counting.triton.key_counts import count_keys
from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.painting.triton.add_stuff import Segments, fields_beside
from pps_torch.ops.painting.triton.doubles import bits_of_double, double_of_bits
from pps_torch.ops.painting.triton.paint_ids import paint_ids
from pps_torch.ops.painting.triton.upsampling import (
    VARYING,
    as_sampled,
    bilinear_taps,
    num_programs,
    sample,
    tile_pixels,
    upsampling_arguments,
)
from pps_torch.reserved import ABSENT

# The tile of a program of one warp: the pixels of a query are counted without a barrier, and what
# four pixels a thread carry from query to query stays in registers.
_ROWS, _COLUMNS = 2, 64

# Queries that a program looks at, and that it compares them with at a time: 8 pairs a thread.
_QUERIES = 32

_ABSENT = tl.constexpr(ABSENT)


@direct_operator("pps_torch::query_segments")
def query_segments(
    mask_logits: Tensor,
    scores: Tensor,
    classes: Tensor,
    thing_ids: Tensor,
    out_height: int,
    out_width: int,
    num_classes: int,
    object_mask_threshold: float,
    min_kept_fraction: float,
) -> Segments:
    """See [`query_segments`][pps_torch.ops.painting.query_segments.query_segments]."""
    inputs = (mask_logits, scores, classes, thing_ids)
    numbers = (out_height, out_width, num_classes, object_mask_threshold, min_kept_fraction)
    outputs = _outputs(*inputs, *numbers)
    panoptic_seg, category_ids, is_thing, segment_scores, areas, source, num_segments = outputs
    num_images, num_queries = classes.shape[:-1].numel(), classes.shape[-1]
    if num_images == 0:
        return outputs
    mask_logits = as_sampled(mask_logits)
    scores, classes, thing_ids = scores.contiguous(), classes.contiguous(), thing_ids.contiguous()
    arguments = upsampling_arguments(mask_logits, out_height, out_width)
    if scores.dtype == torch.float64:
        arguments["DTYPE"] = tl.float64
    counts = classes.new_zeros((num_images, 3, num_queries))  # of pixels: won, owned, masks
    first_of_query, segment_of_query = torch.empty_like(classes), torch.empty_like(classes)
    tiles = num_programs(num_images, out_height, out_width, _ROWS, _COLUMNS)
    blocks = num_images * num_blocks(max(num_queries, 1), _QUERIES)
    launch = Launcher("query_segments", *inputs, *numbers)
    with torch.cuda.device_of(mask_logits):
        launch(
            _compete_kernel,
            tiles,
            mask_logits_ptr=mask_logits,
            scores_ptr=scores,
            classes_ptr=classes,
            owner_ptr=panoptic_seg,  # until it is painted
            counts_ptr=counts,
            num_queries=num_queries,
            num_classes=num_classes,
            threshold_bits=bits_of_double(object_mask_threshold),
            **arguments,
            ROWS=_ROWS,
            COLUMNS=_COLUMNS,
            num_warps=1,
        )
        launch(
            _find_first_kernel,
            blocks,
            classes_ptr=classes,
            thing_ids_ptr=thing_ids,
            counts_ptr=counts,
            first_ptr=first_of_query,
            num_queries=num_queries,
            num_things=thing_ids.numel(),
            fraction_bits=bits_of_double(min_kept_fraction),
            BLOCK=_QUERIES,
        )
        launch(
            _fill_table_kernel,
            blocks,
            classes_ptr=classes,
            scores_ptr=scores,
            thing_ids_ptr=thing_ids,
            counts_ptr=counts,
            first_ptr=first_of_query,
            segment_ptr=segment_of_query,
            category_ids_ptr=category_ids,
            is_thing_ptr=is_thing,
            segment_scores_ptr=segment_scores,
            areas_ptr=areas,
            source_ptr=source,
            num_segments_ptr=num_segments,
            num_queries=num_queries,
            num_things=thing_ids.numel(),
            BLOCK=_QUERIES,
        )
        paint_ids(launch, owner=panoptic_seg, ids=segment_of_query, painted=panoptic_seg)
    return outputs


@query_segments.register_fake
def _outputs(
    mask_logits: Tensor,
    scores: Tensor,
    classes: Tensor,
    thing_ids: Tensor,
    out_height: int,
    out_width: int,
    num_classes: int,
    object_mask_threshold: float,
    min_kept_fraction: float,
) -> Segments:
    """Allocate the fields of a `PanopticSegmentation`; all that is known of them in a graph."""
    return fields_beside(classes.new_empty(classes.shape), scores.dtype, (out_height, out_width))


@triton.jit(do_not_specialize=["num_queries", "num_classes", "threshold_bits", *VARYING])
def _compete_kernel(
    mask_logits_ptr,
    scores_ptr,
    classes_ptr,
    owner_ptr,
    counts_ptr,
    num_queries,
    num_classes,
    threshold_bits,
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
    """Give the pixels of a tile to queries, and count what each of them wins and owns.

    The product of a score s and the mask probability 1 / (1 + exp(-x)) is highest where
    (1 + exp(-x)) / s is lowest, which needs no division at the pixels.
    """
    # The tile of this program.
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
    in_image = (row < out_height) & (column < out_width)
    queries = image * num_queries
    won_ptr = counts_ptr + 3 * queries
    owned_ptr = won_ptr + num_queries
    masks_ptr = owned_ptr + num_queries
    plane_ptr = mask_logits_ptr + image * image_stride
    least = tl.full(row.shape, float("inf"), DTYPE)
    winner = tl.zeros(row.shape, tl.int32)  # query + 1, negative where outside of its mask
    # Query by query; a later one must be strictly better. The mask is counted on the way.
    threshold = double_of_bits(threshold_bits).to(scores_ptr.dtype.element_ty)
    for query in range(num_queries):
        score = tl.load(scores_ptr + queries + query)
        is_object = tl.load(classes_ptr + queries + query) != num_classes
        if is_object & (score > threshold):
            logits = sample(plane_ptr, offsets, weights, INTERPOLATES, DTYPE)
            inverse = 1 + tl.exp2(logits * -1.4426950408889634)  # log2(e)
            is_mask = inverse <= 2
            area = tl.sum((is_mask & in_image).to(tl.int32), 0)
            if area > 0:
                tl.atomic_add(masks_ptr + query, area.to(tl.int64), sem="relaxed")
            cost = inverse * (1 / score.to(DTYPE))
            wins = (cost < least) | (winner == 0)
            least = tl.where(wins, cost, least)
            winner = tl.where(wins, tl.where(is_mask, query + 1, -1 - query), winner)
        plane_ptr += channel_stride
    # Who has won and who owns, counted and stored once all queries are known.
    winner = tl.where(in_image, winner, 0)
    owner = tl.maximum(winner, 0)
    count_keys(tl.abs(winner) - 1, won_ptr)
    count_keys(owner - 1, owned_ptr)
    tl.store(owner_ptr + (image * out_height + row) * out_width + column, owner, mask=in_image)


@triton.jit
def _block_of_queries(num_queries, BLOCK: tl.constexpr):
    """The image of this program as int64, and its block of queries."""
    image, start = block_of_image(tl.maximum(num_queries, 1), BLOCK)
    return image, start + tl.arange(0, BLOCK)


@triton.jit
def _is_thing(classes, thing_ids_ptr, num_things):
    is_thing = classes < 0
    for index in range(num_things):
        is_thing = is_thing | (classes == tl.load(thing_ids_ptr + index))
    return is_thing


@triton.jit
def _is_segment(counts_ptr, query, num_queries, fraction_bits):
    """Whether queries own a pixel and keep enough, by the counts of their image."""
    won = tl.load(counts_ptr + query, mask=query < num_queries, other=0)
    owned = tl.load(counts_ptr + num_queries + query, mask=query < num_queries, other=0)
    masks = tl.load(counts_ptr + 2 * num_queries + query, mask=query < num_queries, other=1)
    kept_fraction = won.to(tl.float64) / masks.to(tl.float64)
    return (owned > 0) & (kept_fraction >= double_of_bits(fraction_bits))


@triton.jit(do_not_specialize=["num_queries", "num_things", "fraction_bits"])
def _find_first_kernel(
    classes_ptr,
    thing_ids_ptr,
    counts_ptr,
    first_ptr,
    num_queries,
    num_things,
    fraction_bits,
    BLOCK: tl.constexpr,
):
    """Find the first query of the segment of each query, `ABSENT` for one that is no segment."""
    image, query = _block_of_queries(num_queries, BLOCK)
    classes_ptr += image * num_queries
    counts_ptr += image * 3 * num_queries
    category = tl.load(classes_ptr + query, mask=query < num_queries, other=_ABSENT)
    is_stuff = ~_is_thing(category, thing_ids_ptr, num_things)
    first = query
    for start in range(0, num_queries, BLOCK):
        other = start + tl.arange(0, BLOCK)
        others = tl.load(classes_ptr + other, mask=other < num_queries, other=_ABSENT)
        is_other = _is_segment(counts_ptr, other, num_queries, fraction_bits)
        is_shared = (is_stuff[:, None] & is_other[None, :]) & (category[:, None] == others[None, :])
        first = tl.minimum(first, tl.min(tl.where(is_shared, other[None, :], num_queries), 1))
    is_segment = _is_segment(counts_ptr, query, num_queries, fraction_bits)
    first = tl.where(is_segment, first, _ABSENT)
    tl.store(first_ptr + image * num_queries + query, first, mask=query < num_queries)


@triton.jit(do_not_specialize=["num_queries", "num_things"])
def _fill_table_kernel(
    classes_ptr,
    scores_ptr,
    thing_ids_ptr,
    counts_ptr,
    first_ptr,
    segment_ptr,
    category_ids_ptr,
    is_thing_ptr,
    segment_scores_ptr,
    areas_ptr,
    source_ptr,
    num_segments_ptr,
    num_queries,
    num_things,
    BLOCK: tl.constexpr,
):
    """Number the segments by their first queries, write their rows, and clear the unused ones."""
    image, query = _block_of_queries(num_queries, BLOCK)
    queries = image * num_queries
    owned_ptr = counts_ptr + image * 3 * num_queries + num_queries
    in_table = query < num_queries
    first = tl.load(first_ptr + queries + query, mask=in_table, other=_ABSENT)
    segment = tl.zeros((BLOCK,), tl.int32)
    area = tl.zeros((BLOCK,), tl.int64)
    num_segments = tl.zeros((), tl.int32)
    # Segments up to the own one, pixels of all queries that share it, and segments in all.
    for start in range(0, num_queries, BLOCK):
        other = start + tl.arange(0, BLOCK)
        firsts = tl.load(first_ptr + queries + other, mask=other < num_queries, other=_ABSENT)
        owned = tl.load(owned_ptr + other, mask=other < num_queries, other=0)
        is_first = (firsts == other).to(tl.int32)
        is_before = other[None, :] <= first[:, None]
        segment += tl.sum(tl.where(is_before, is_first[None, :], 0), 1)
        area += tl.sum(tl.where(firsts[None, :] == query[:, None], owned[None, :], 0), 1)
        num_segments += tl.sum(is_first, 0)
    tl.store(segment_ptr + queries + query, segment, mask=in_table)
    tl.store(num_segments_ptr + image, num_segments, mask=tl.min(query, 0) == 0)
    # The rows of segments that begin in this block.
    category = tl.load(classes_ptr + queries + query, mask=in_table, other=_ABSENT)
    score = tl.load(scores_ptr + queries + query, mask=in_table, other=0)
    is_thing = _is_thing(category, thing_ids_ptr, num_things)
    row, is_row = queries + segment - 1, in_table & (first == query)
    tl.store(category_ids_ptr + row, category, mask=is_row)
    tl.store(is_thing_ptr + row, is_thing, mask=is_row)
    tl.store(segment_scores_ptr + row, score, mask=is_row)
    tl.store(areas_ptr + row, area, mask=is_row)
    tl.store(source_ptr + row, tl.where(is_thing, query, _ABSENT), mask=is_row)
    # The rows of this block's numbers that no segment has.
    row, is_unused = queries + query, in_table & (query >= num_segments)
    tl.store(category_ids_ptr + row, _ABSENT, mask=is_unused)
    tl.store(is_thing_ptr + row, 0, mask=is_unused)
    tl.store(segment_scores_ptr + row, 0, mask=is_unused)
    tl.store(areas_ptr + row, 0, mask=is_unused)
    tl.store(source_ptr + row, _ABSENT, mask=is_unused)

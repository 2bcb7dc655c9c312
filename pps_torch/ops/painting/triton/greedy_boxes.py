"""The greedy choice among masks in boxes in Triton: sampled again in each pass, never stored.

A pass goes over tiles of the image; a tile samples only the masks whose box reaches it, and a mask
that is visited alone only the tiles that its box reaches.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.painting.triton.greedy_rounds import (
    ROUNDS,
    WORD_BITS,
    allow_overlap,
    choice_of_word,
    clear,
    copy_counts,
    index_of_bit,
    is_settled,
    lowest_bit,
    store_choice,
)

_ROWS, _COLUMNS = 16, 64


@torch.library.custom_op(
    "pps_torch::greedy_boxes",
    mutates_args=(),
    schema=(
        "(Tensor mask_probs, Tensor boxes, Tensor order, Tensor eligible, SymInt height, SymInt "
        "width, float mask_threshold, float overlap_threshold) -> (Tensor, Tensor)"
    ),
)
def greedy_boxes(
    mask_probs: Tensor,
    boxes: Tensor,
    order: Tensor,
    eligible: Tensor,
    height: int,
    width: int,
    mask_threshold: float,
    overlap_threshold: float,
) -> tuple[Tensor, Tensor]:
    """See [`greedy_boxes`][pps_torch.ops.painting.greedy_boxes.greedy_boxes]."""
    num_images, num_masks, side, _ = mask_probs.shape
    owner = mask_probs.new_empty((num_images, height, width), dtype=torch.int32)
    keep = torch.empty_like(eligible, memory_format=torch.contiguous_format)
    if owner.numel() == 0 or num_masks == 0:
        return owner.zero_(), keep.zero_()
    areas = owner.new_zeros(num_images, num_masks)
    eligible = eligible.contiguous()
    allowed = eligible.to(torch.int32) - 1  # before areas are known: all eligible masks are kept
    counts = areas.new_zeros(ROUNDS + 2, num_images, num_masks)
    masks = (mask_probs.contiguous(), boxes.contiguous(), order.contiguous())
    sizes = (num_images, num_masks, side, height, width, mask_threshold)
    num_tiles = triton.cdiv(height, _ROWS) * triton.cdiv(width, _COLUMNS)
    options = {"ROWS": _ROWS, "COLUMNS": _COLUMNS, "enable_fp_fusion": False}
    with torch.cuda.device_of(mask_probs):
        tiles, state = (num_tiles, num_images), (allowed, areas, counts)
        _count_round[tiles](*masks, *state, 0, *sizes, IS_FIRST=True, **options)
        allow_overlap[(triton.cdiv(areas.numel(), 128),)](
            areas, eligible, allowed, areas.numel(), overlap_threshold, BLOCK=128
        )
        for last in range(1, ROUNDS + 1):
            _count_round[tiles](*masks, *state, last, *sizes, IS_FIRST=False, **options)
        _finish[(num_images,)](
            *masks, allowed, counts, owner, keep, ROUNDS, *sizes, num_warps=16, **options
        )
        _paint[tiles](*masks, allowed, counts[-1], owner, *sizes, **options)
    return owner, keep


@greedy_boxes.register_fake
def _outputs(
    mask_probs: Tensor,
    boxes: Tensor,
    order: Tensor,
    eligible: Tensor,
    height: int,
    width: int,
    mask_threshold: float,
    overlap_threshold: float,
) -> tuple[Tensor, Tensor]:
    owner = mask_probs.new_empty((mask_probs.shape[0], height, width), dtype=torch.int32)
    return owner, torch.empty_like(eligible, memory_format=torch.contiguous_format)


@triton.jit
def _reaches(start, stop, side, first, last):
    """Whether a mask between two edges can reach the pixels `first` to `last`."""
    low, high = tl.minimum(start, stop), tl.maximum(start, stop)
    margin = (high - low) / (2 * side) + 2
    return (low - margin <= last) & (high + margin >= first)


@triton.jit
def _edges(box_ptr):
    """Left, top, right and bottom of a box."""
    left, top = tl.load(box_ptr).to(tl.float32), tl.load(box_ptr + 1).to(tl.float32)
    right, bottom = tl.load(box_ptr + 2).to(tl.float32), tl.load(box_ptr + 3).to(tl.float32)
    return left, top, right, bottom


@triton.jit
def _cell(centre, start, stop, side):
    """Position in a mask's cells of a pixel's centre, step by step as grid_sample has it."""
    place = tl.div_rn(centre - start, stop - start) * 2 - 1
    return ((place + 1) * side - 1) * 0.5


@triton.jit
def _cell_value(probs_ptr, row, column, side):
    """A mask's cells at whole positions, 0 outside of the mask."""
    inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
    offset = tl.where(inside, row * side + column, 0).to(tl.int32)
    return tl.load(probs_ptr + offset, mask=inside, other=0).to(tl.float32)


@triton.jit
def _sample(probs_ptr, box_ptr, y, x, side, threshold):
    """Whether a tile's pixels lie in a mask: bilinear, zeros around it, equality belongs to it."""
    left, top, right, bottom = _edges(box_ptr)
    cells = side * 1.0
    row = _cell(y, top, bottom, cells)[:, None]
    column = _cell(x, left, right, cells)[None, :]
    upper, before = tl.floor(row), tl.floor(column)
    lower_part, after_part = row - upper, column - before
    upper_part, before_part = 1 - lower_part, 1 - after_part
    sample = _cell_value(probs_ptr, upper, before, cells) * (before_part * upper_part)
    sample += _cell_value(probs_ptr, upper, before + 1, cells) * (after_part * upper_part)
    sample += _cell_value(probs_ptr, upper + 1, before, cells) * (before_part * lower_part)
    sample += _cell_value(probs_ptr, upper + 1, before + 1, cells) * (after_part * lower_part)
    return sample >= threshold


@triton.jit
def _visit_tile(
    probs_ptr,
    boxes_ptr,
    order_ptr,
    allowed_ptr,
    before_ptr,
    areas_ptr,
    counts_ptr,
    tile,
    num_masks,
    side,
    height,
    width,
    threshold,
    COUNTS_AREAS: tl.constexpr,
    COUNTS_HIDDEN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Lays the masks kept in the round before on a tile, best first; returns who owns its pixels.

    Adds, for each mask that can be kept, its pixels in the tile and those that are hidden.
    """
    row = tile // tl.cdiv(width, COLUMNS) * ROWS + tl.arange(0, ROWS)
    column = tile % tl.cdiv(width, COLUMNS) * COLUMNS + tl.arange(0, COLUMNS)
    in_image = (row < height)[:, None] & (column < width)[None, :]
    y, x = row.to(tl.float32) + 0.5, column.to(tl.float32) + 0.5
    first_y, last_y = tl.min(y, 0), tl.max(y, 0)
    first_x, last_x = tl.min(x, 0), tl.max(x, 0)
    lane = tl.arange(0, 32)
    owner = tl.zeros((ROWS, COLUMNS), tl.int32)
    for first in range(0, num_masks, WORD_BITS):
        candidates, kept = choice_of_word(allowed_ptr, before_ptr, first, num_masks)
        is_candidate = ((candidates >> (lane % WORD_BITS)) & 1 != 0) & (lane < WORD_BITS)
        index = tl.load(order_ptr + first + lane, mask=is_candidate, other=0)
        corner_ptr = boxes_ptr + index * 4
        left = tl.load(corner_ptr, mask=is_candidate, other=0).to(tl.float32)
        top = tl.load(corner_ptr + 1, mask=is_candidate, other=0).to(tl.float32)
        right = tl.load(corner_ptr + 2, mask=is_candidate, other=0).to(tl.float32)
        bottom = tl.load(corner_ptr + 3, mask=is_candidate, other=0).to(tl.float32)
        reaches = _reaches(top, bottom, side, first_y, last_y)
        reaches &= _reaches(left, right, side, first_x, last_x)
        bits = tl.where(is_candidate & reaches, 1 << (lane % WORD_BITS), 0)
        if not (COUNTS_AREAS or COUNTS_HIDDEN):
            bits &= kept
        left_to_do = tl.sum(bits, 0)
        while left_to_do != 0:
            bit = lowest_bit(left_to_do)
            rank = first + index_of_bit(bit)
            mask_index = tl.load(order_ptr + rank)
            is_mask = in_image & _sample(
                probs_ptr + mask_index * side * side,
                boxes_ptr + mask_index * 4,
                y,
                x,
                side,
                threshold,
            )
            if COUNTS_AREAS:
                tl.atomic_add(
                    areas_ptr + rank, tl.sum(tl.sum(is_mask.to(tl.int32), 1), 0), sem="relaxed"
                )
            if COUNTS_HIDDEN:
                hidden = (is_mask & (owner > 0)).to(tl.int32)
                tl.atomic_add(counts_ptr + rank, tl.sum(tl.sum(hidden, 1), 0), sem="relaxed")
            paints = is_mask & (owner == 0) & ((bit & kept) != 0)
            owner = tl.where(paints, rank + 1, owner)
            left_to_do ^= bit
    return owner


@triton.jit(do_not_specialize=["last", "num_images", "num_masks", "side", "height", "width"])
def _count_round(
    probs_ptr,
    boxes_ptr,
    order_ptr,
    allowed_ptr,
    areas_ptr,
    counts_ptr,
    last,
    num_images,
    num_masks,
    side,
    height,
    width,
    threshold,
    IS_FIRST: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """From the choice of round `last` to the counts of the next one; the first counts areas."""
    image = tl.program_id(1).to(tl.int64)
    masks = image * num_masks
    now_ptr = counts_ptr + last * num_images * num_masks + masks
    next_ptr = now_ptr + num_images * num_masks
    settled = False
    if not IS_FIRST:
        before_ptr = now_ptr - num_images * num_masks
        settled = is_settled(allowed_ptr + masks, before_ptr, now_ptr, num_masks)
    if settled:
        if tl.program_id(0) == 0:
            copy_counts(now_ptr, next_ptr, num_masks)
    else:
        _visit_tile(
            probs_ptr + masks * side * side,
            boxes_ptr + masks * 4,
            order_ptr + masks,
            allowed_ptr + masks,
            now_ptr,
            areas_ptr + masks,
            next_ptr,
            tl.program_id(0),
            num_masks,
            side,
            height,
            width,
            threshold,
            IS_FIRST,
            True,
            ROWS,
            COLUMNS,
        )


@triton.jit
def _visit_mask(
    probs_ptr,
    box_ptr,
    taken_ptr,
    side,
    height,
    width,
    threshold,
    TAKES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Takes the pixels of one mask, or counts those that are taken, over the tiles it reaches."""
    left, top, right, bottom = _edges(box_ptr)
    num_taken = tl.zeros((ROWS, COLUMNS), tl.int32)
    for first_row in range(0, height, ROWS):
        if _reaches(top, bottom, side, first_row + 0.5, first_row + (ROWS - 1) + 0.5):
            row = first_row + tl.arange(0, ROWS)
            for first_column in range(0, width, COLUMNS):
                last_x = first_column + (COLUMNS - 1) + 0.5
                if _reaches(left, right, side, first_column + 0.5, last_x):
                    column = first_column + tl.arange(0, COLUMNS)
                    y, x = row.to(tl.float32) + 0.5, column.to(tl.float32) + 0.5
                    is_mask = _sample(probs_ptr, box_ptr, y, x, side, threshold)
                    is_mask &= (row < height)[:, None] & (column < width)[None, :]
                    pixel_ptr = taken_ptr + tl.arange(0, ROWS)[:, None] * width + column[None, :]
                    if TAKES:
                        tl.store(pixel_ptr, 1, mask=is_mask)
                    else:
                        num_taken += tl.load(pixel_ptr, mask=is_mask, other=0)
        taken_ptr += ROWS * width
    return tl.sum(tl.sum(num_taken, 1), 0)


@triton.jit(do_not_specialize=["last", "num_images", "num_masks", "side", "height", "width"])
def _finish(
    probs_ptr,
    boxes_ptr,
    order_ptr,
    allowed_ptr,
    counts_ptr,
    owner_ptr,
    keep_ptr,
    last,
    num_images,
    num_masks,
    side,
    height,
    width,
    threshold,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Decides an image that is not settled, mask after mask; the last counts take the result.

    Each mask is visited once, and once more if it is kept. `owner`, painted later, holds the
    pixels that are taken.
    """
    image = tl.program_id(0).to(tl.int64)
    masks = image * num_masks
    allowed_ptr += masks
    before_ptr = counts_ptr + last * num_images * num_masks + masks
    now_ptr = before_ptr + num_images * num_masks
    if not is_settled(allowed_ptr, before_ptr, now_ptr, num_masks):
        owner_ptr += image * height * width
        clear(owner_ptr, height * width, 4096)
        for rank in range(0, num_masks):
            allowed = tl.load(allowed_ptr + rank)
            if allowed >= 0:
                mask = masks + tl.load(order_ptr + masks + rank)
                mask_ptr, box_ptr = probs_ptr + mask * side * side, boxes_ptr + mask * 4
                sizes = (side, height, width, threshold)
                tl.debug_barrier()  # what is taken is written
                hidden = _visit_mask(mask_ptr, box_ptr, owner_ptr, *sizes, False, ROWS, COLUMNS)
                tl.store(now_ptr + rank, hidden)
                tl.debug_barrier()  # all have read what is taken
                if hidden <= allowed:
                    _visit_mask(mask_ptr, box_ptr, owner_ptr, *sizes, True, ROWS, COLUMNS)
        tl.debug_barrier()
    store_choice(allowed_ptr, now_ptr, keep_ptr + masks, num_masks)


@triton.jit(do_not_specialize=["num_images", "num_masks", "side", "height"])
def _paint(
    probs_ptr,
    boxes_ptr,
    order_ptr,
    allowed_ptr,
    counts_ptr,
    owner_ptr,
    num_images,
    num_masks,
    side,
    height,
    width,
    threshold,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """The first kept mask at each pixel: its rank + 1."""
    image = tl.program_id(1).to(tl.int64)
    masks = image * num_masks
    tile = tl.program_id(0)
    owner = _visit_tile(
        probs_ptr + masks * side * side,
        boxes_ptr + masks * 4,
        order_ptr + masks,
        allowed_ptr + masks,
        counts_ptr + masks,
        counts_ptr + masks,
        counts_ptr + masks,
        tile,
        num_masks,
        side,
        height,
        width,
        threshold,
        False,
        False,
        ROWS,
        COLUMNS,
    )
    row = tile // tl.cdiv(width, COLUMNS) * ROWS + tl.arange(0, ROWS)
    column = tile % tl.cdiv(width, COLUMNS) * COLUMNS + tl.arange(0, COLUMNS)
    pixel = (image * height + row.to(tl.int64)[:, None]) * width + column[None, :]
    in_image = (row < height)[:, None] & (column < width)[None, :]
    tl.store(owner_ptr + pixel, owner, mask=in_image)

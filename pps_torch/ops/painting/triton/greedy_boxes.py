"""The Triton twin of `greedy_boxes`: masks are sampled again in each pass, and never stored.

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
from pps_torch.ops.painting.triton.pasting import edges, reaches, sample_mask

# The tile of a program: small enough that few boxes reach it, and eight pixels a thread, so that
# boxes are looked up for many pixels at once.
_ROWS, _COLUMNS = 16, 64

# The one program of an image that decides what the rounds leave has the image to itself: as many
# warps as help it to sample the masks.
_FINISH_WARPS = 16


@torch.library.custom_op("pps_torch::greedy_boxes", mutates_args=())
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
    owner, keep = _outputs(
        mask_probs, boxes, order, eligible, height, width, mask_threshold, overlap_threshold
    )
    num_images, num_masks, side, _ = mask_probs.shape
    if owner.numel() == 0 or num_masks == 0:
        return owner.zero_(), keep.zero_()
    areas = owner.new_zeros(num_images, num_masks)
    eligible = eligible.contiguous()
    allowed = eligible.to(torch.int32) - 1  # before areas are known: all eligible masks are kept
    counts = areas.new_zeros(ROUNDS + 2, num_images, num_masks)
    masks = {
        "probs_ptr": mask_probs.contiguous(),
        "boxes_ptr": boxes.contiguous(),
        "order_ptr": order.contiguous(),
        "allowed_ptr": allowed,
    }
    sizes = {
        "num_images": num_images,
        "num_masks": num_masks,
        "side": side,
        "height": height,
        "width": width,
        "threshold": mask_threshold,
    }
    # A fused multiplication and addition rounds otherwise than the plain torch version.
    options = {"ROWS": _ROWS, "COLUMNS": _COLUMNS, "enable_fp_fusion": False}
    tiles = (triton.cdiv(height, _ROWS) * triton.cdiv(width, _COLUMNS), num_images)
    with torch.cuda.device_of(mask_probs):
        for last in range(ROUNDS + 1):
            _count_round_kernel[tiles](
                **masks,
                areas_ptr=areas,
                counts_ptr=counts,
                last=last,
                **sizes,
                IS_FIRST=last == 0,
                **options,
            )
            if last == 0:  # the areas are known
                allow_overlap(areas, eligible, allowed, overlap_threshold=overlap_threshold)
        _finish_kernel[(num_images,)](
            **masks,
            counts_ptr=counts,
            owner_ptr=owner,
            keep_ptr=keep,
            last=ROUNDS,
            **sizes,
            **options,
            num_warps=_FINISH_WARPS,
        )
        _paint_kernel[tiles](**masks, counts_ptr=counts[-1], owner_ptr=owner, **sizes, **options)
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
    """Allocate the results; all that is known of them while a graph is captured."""
    owner = mask_probs.new_empty((mask_probs.shape[0], height, width), dtype=torch.int32)
    return owner, torch.empty_like(eligible, memory_format=torch.contiguous_format)


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
    """Lay the masks kept in the round before on a tile, best first; return who owns its pixels.

    Adds, for each mask that can be kept, its pixels in the tile to `areas` and those of them that
    are hidden to `counts`.
    """
    # The tile: its pixels, and the span of their centres.
    row = tile // tl.cdiv(width, COLUMNS) * ROWS + tl.arange(0, ROWS)
    column = tile % tl.cdiv(width, COLUMNS) * COLUMNS + tl.arange(0, COLUMNS)
    in_image = (row < height)[:, None] & (column < width)[None, :]
    y, x = row.to(tl.float32) + 0.5, column.to(tl.float32) + 0.5
    first_y, last_y = tl.min(y, 0), tl.max(y, 0)
    first_x, last_x = tl.min(x, 0), tl.max(x, 0)
    lane = tl.arange(0, 32)
    owner = tl.zeros((ROWS, COLUMNS), tl.int32)
    for first in range(0, num_masks, WORD_BITS):
        # The masks of a word that reach the tile, all boxes at once.
        candidates, kept = choice_of_word(allowed_ptr, before_ptr, first, num_masks)
        is_candidate = ((candidates >> (lane % WORD_BITS)) & 1 != 0) & (lane < WORD_BITS)
        index = tl.load(order_ptr + first + lane, mask=is_candidate, other=0)
        corner_ptr = boxes_ptr + index * 4
        left = tl.load(corner_ptr, mask=is_candidate, other=0).to(tl.float32)
        top = tl.load(corner_ptr + 1, mask=is_candidate, other=0).to(tl.float32)
        right = tl.load(corner_ptr + 2, mask=is_candidate, other=0).to(tl.float32)
        bottom = tl.load(corner_ptr + 3, mask=is_candidate, other=0).to(tl.float32)
        is_near = reaches(top, bottom, side, first_y, last_y)
        is_near &= reaches(left, right, side, first_x, last_x)
        bits = tl.where(is_candidate & is_near, 1 << (lane % WORD_BITS), 0)
        if not (COUNTS_AREAS or COUNTS_HIDDEN):
            bits &= kept
        # Those masks one by one, best first: sample, count, and paint what is free.
        left_to_do = tl.sum(bits, 0)
        while left_to_do != 0:
            bit = lowest_bit(left_to_do)
            rank = first + index_of_bit(bit)
            mask_index = tl.load(order_ptr + rank)
            is_mask = in_image & sample_mask(
                probs_ptr=probs_ptr + mask_index * side * side,
                box_ptr=boxes_ptr + mask_index * 4,
                y=y,
                x=x,
                side=side,
                threshold=threshold,
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
def _count_round_kernel(
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
    """Count the hidden pixels of the round after `last`, given its choice; round 0 counts areas."""
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
            probs_ptr=probs_ptr + masks * side * side,
            boxes_ptr=boxes_ptr + masks * 4,
            order_ptr=order_ptr + masks,
            allowed_ptr=allowed_ptr + masks,
            before_ptr=now_ptr,
            areas_ptr=areas_ptr + masks,
            counts_ptr=next_ptr,
            tile=tl.program_id(0),
            num_masks=num_masks,
            side=side,
            height=height,
            width=width,
            threshold=threshold,
            COUNTS_AREAS=IS_FIRST,
            COUNTS_HIDDEN=True,
            ROWS=ROWS,
            COLUMNS=COLUMNS,
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
    """Take the pixels of one mask, or count those that are taken, over the tiles it reaches."""
    left, top, right, bottom = edges(box_ptr)
    num_taken = tl.zeros((ROWS, COLUMNS), tl.int32)
    for first_row in range(0, height, ROWS):
        if reaches(top, bottom, side, first_row + 0.5, first_row + (ROWS - 1) + 0.5):
            row = first_row + tl.arange(0, ROWS)
            for first_column in range(0, width, COLUMNS):
                last_x = first_column + (COLUMNS - 1) + 0.5
                if reaches(left, right, side, first_column + 0.5, last_x):
                    column = first_column + tl.arange(0, COLUMNS)
                    y, x = row.to(tl.float32) + 0.5, column.to(tl.float32) + 0.5
                    is_mask = sample_mask(
                        probs_ptr=probs_ptr,
                        box_ptr=box_ptr,
                        y=y,
                        x=x,
                        side=side,
                        threshold=threshold,
                    )
                    is_mask &= (row < height)[:, None] & (column < width)[None, :]
                    pixel_ptr = taken_ptr + tl.arange(0, ROWS)[:, None] * width + column[None, :]
                    if TAKES:
                        tl.store(pixel_ptr, 1, mask=is_mask)
                    else:
                        num_taken += tl.load(pixel_ptr, mask=is_mask, other=0)
        taken_ptr += ROWS * width
    return tl.sum(tl.sum(num_taken, 1), 0)


@triton.jit(do_not_specialize=["last", "num_images", "num_masks", "side", "height", "width"])
def _finish_kernel(
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
    """Decide an image that is not settled, mask after mask; the last counts take the result.

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
                # Count the pixels of the mask that are taken: that decides it.
                tl.debug_barrier()  # what is taken is written
                hidden = _visit_mask(
                    probs_ptr=mask_ptr,
                    box_ptr=box_ptr,
                    taken_ptr=owner_ptr,
                    side=side,
                    height=height,
                    width=width,
                    threshold=threshold,
                    TAKES=False,
                    ROWS=ROWS,
                    COLUMNS=COLUMNS,
                )
                tl.store(now_ptr + rank, hidden)
                tl.debug_barrier()  # all have read what is taken
                # A kept mask takes its pixels from those after it.
                if hidden <= allowed:
                    _visit_mask(
                        probs_ptr=mask_ptr,
                        box_ptr=box_ptr,
                        taken_ptr=owner_ptr,
                        side=side,
                        height=height,
                        width=width,
                        threshold=threshold,
                        TAKES=True,
                        ROWS=ROWS,
                        COLUMNS=COLUMNS,
                    )
        tl.debug_barrier()
    # Settled by the rounds, or decided here: the last counts say which masks are kept.
    store_choice(allowed_ptr, now_ptr, keep_ptr + masks, num_masks)


@triton.jit(do_not_specialize=["num_images", "num_masks", "side", "height"])
def _paint_kernel(
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
    """Paint each pixel with the rank + 1 of the first kept mask on it."""
    image = tl.program_id(1).to(tl.int64)
    masks = image * num_masks
    tile = tl.program_id(0)
    owner = _visit_tile(
        probs_ptr=probs_ptr + masks * side * side,
        boxes_ptr=boxes_ptr + masks * 4,
        order_ptr=order_ptr + masks,
        allowed_ptr=allowed_ptr + masks,
        before_ptr=counts_ptr + masks,
        areas_ptr=counts_ptr + masks,  # not counted
        counts_ptr=counts_ptr + masks,  # not counted
        tile=tile,
        num_masks=num_masks,
        side=side,
        height=height,
        width=width,
        threshold=threshold,
        COUNTS_AREAS=False,
        COUNTS_HIDDEN=False,
        ROWS=ROWS,
        COLUMNS=COLUMNS,
    )
    row = tile // tl.cdiv(width, COLUMNS) * ROWS + tl.arange(0, ROWS)
    column = tile % tl.cdiv(width, COLUMNS) * COLUMNS + tl.arange(0, COLUMNS)
    pixel = (image * height + row.to(tl.int64)[:, None]) * width + column[None, :]
    in_image = (row < height)[:, None] & (column < width)[None, :]
    tl.store(owner_ptr + pixel, owner, mask=in_image)

"""The Triton twin of `greedy_boxes`: each mask is sampled once, in the tiles its box reaches."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.painting.triton.greedy_words import (
    WORD_BITS,
    Greedy,
    choose_word,
    index_of_bit,
    lay_word,
    lowest_bit,
    owners_before,
    paint_owners,
    parts_of_state,
    pixels_of_tile,
    state_size,
)
from pps_torch.ops.painting.triton.pasting import reaches, sample_mask

# The tile of a program: small enough that few boxes reach it, and eight pixels a thread, so that
# boxes are looked up for many pixels at once.
_ROWS, _COLUMNS = 16, 64


@direct_operator("pps_torch::greedy_boxes")
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
    inputs = (mask_probs, boxes, order, eligible)
    owner, keep = _outputs(*inputs, height, width, mask_threshold, overlap_threshold)
    thresholds = (mask_threshold, overlap_threshold)
    launch = Launcher("greedy_boxes", *inputs, height, width, *thresholds)
    with torch.cuda.device_of(mask_probs):
        choose_boxes(launch, *inputs, *thresholds, owner, keep)
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


def choose_boxes(
    launch: Launcher,
    mask_probs: Tensor,
    boxes: Tensor,
    order: Tensor,
    eligible: Tensor,
    mask_threshold: float,
    overlap_threshold: float,
    owner: Tensor,
    keep: Tensor,
    num_zeros: int = 0,
) -> Tensor:
    """Launch what writes `owner` and `keep` of images `(*B, H, W)`.

    Returns an int32 tensor that ends in `num_zeros` zeros, for what follows.
    """
    num_images, num_masks = keep.shape[:-1].numel(), keep.shape[-1]
    if owner.numel() == 0 or num_masks == 0:
        owner.zero_()
        keep.zero_()
        return owner.new_zeros(num_zeros)
    height, width = owner.shape[-2:]
    tile = _ROWS * _COLUMNS
    num_tiles = num_blocks(height, _ROWS) * num_blocks(width, _COLUMNS)
    state = owner.new_zeros(num_images * state_size(num_masks, num_tiles) + num_zeros)
    words = owner.new_empty(num_images * num_tiles * tile)
    sizes = (num_images, num_masks, num_tiles, tile)
    greedy = Greedy(words, state, eligible.contiguous(), keep, *sizes)
    arguments = {
        "probs_ptr": mask_probs.contiguous(),
        "boxes_ptr": boxes.contiguous(),
        "order_ptr": order.contiguous(),
        "eligible_ptr": greedy.eligible,
        "owner_ptr": owner,
        **greedy.arguments(),
        "side": mask_probs.shape[-1],
        "height": height,
        "width": width,
        "threshold": mask_threshold,
        "ROWS": _ROWS,
        "COLUMNS": _COLUMNS,
        # A fused multiplication and addition rounds otherwise than the plain torch version.
        "enable_fp_fusion": False,
    }
    for first in range(0, num_masks, WORD_BITS.value):
        launch(_lay_boxes_kernel, num_images * num_tiles, **arguments, first=first)
        choose_word(launch, greedy, first, overlap_threshold)
    paint_owners(launch, greedy, owner, (height, width), (_ROWS, _COLUMNS))
    return state


@triton.jit
def _near_boxes(boxes_ptr, order_ptr, eligible_ptr, y, x, side, first, num_masks):
    """The masks of a word whose boxes reach some rows and columns, as bits; all boxes at once."""
    lane = tl.arange(0, 32)
    in_word = (lane < WORD_BITS) & (first + lane < num_masks)
    is_eligible = tl.load(eligible_ptr + first + lane, mask=in_word, other=0) != 0
    corner_ptr = boxes_ptr + tl.load(order_ptr + first + lane, mask=is_eligible, other=0) * 4
    left = tl.load(corner_ptr, mask=is_eligible, other=0).to(tl.float32)
    top = tl.load(corner_ptr + 1, mask=is_eligible, other=0).to(tl.float32)
    right = tl.load(corner_ptr + 2, mask=is_eligible, other=0).to(tl.float32)
    bottom = tl.load(corner_ptr + 3, mask=is_eligible, other=0).to(tl.float32)
    is_near = is_eligible & reaches(top, bottom, side, tl.min(y, 0), tl.max(y, 0))
    is_near &= reaches(left, right, side, tl.min(x, 0), tl.max(x, 0))
    # Lane 31 is never near, but is shifted too: by 0, as its own bit is the sign.
    return tl.sum(tl.where(is_near, 1 << (lane % WORD_BITS), 0), 0)


@triton.jit(do_not_specialize=["first", "num_masks", "num_tiles", "side", "height"])
def _lay_boxes_kernel(
    probs_ptr,
    boxes_ptr,
    order_ptr,
    eligible_ptr,
    owner_ptr,
    words_ptr,
    state_ptr,
    first,
    num_masks,
    num_tiles,
    side,
    height,
    width,
    threshold,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Lay the word of masks in boxes that begins at rank `first` on a tile of pixels."""
    # What the words before have taken.
    image, tile = (tl.program_id(0) // num_tiles).to(tl.int64), tl.program_id(0) % num_tiles
    masks = image * num_masks
    state = parts_of_state(state_ptr, num_masks, num_tiles, image)
    kept_ptr, areas_ptr = state[0], state[1]
    pixel, in_image = pixels_of_tile(tile, height, width, ROWS, COLUMNS)
    words_ptr += tl.program_id(0).to(tl.int64) * (ROWS * COLUMNS) + tl.arange(0, ROWS * COLUMNS)
    owner = owners_before(
        first=first,
        owner_ptr=owner_ptr + image * height * width + pixel,
        words_ptr=words_ptr,
        kept_ptr=kept_ptr,
        in_image=in_image,
    )
    # The word itself: the masks that reach the tile, one by one.
    row = tile // tl.cdiv(width, COLUMNS) * ROWS + tl.arange(0, ROWS)
    column = tile % tl.cdiv(width, COLUMNS) * COLUMNS + tl.arange(0, COLUMNS)
    y, x = row.to(tl.float32) + 0.5, column.to(tl.float32) + 0.5
    inside = (row < height)[:, None] & (column < width)[None, :]
    words = tl.zeros((ROWS, COLUMNS), tl.int32)
    left_to_do = _near_boxes(
        boxes_ptr=boxes_ptr + masks * 4,
        order_ptr=order_ptr + masks,
        eligible_ptr=eligible_ptr + masks,
        y=y,
        x=x,
        side=side,
        first=first,
        num_masks=num_masks,
    )
    while left_to_do != 0:
        bit = lowest_bit(left_to_do)
        rank = first + index_of_bit(bit)
        index = masks + tl.load(order_ptr + masks + rank)
        is_mask = inside & sample_mask(
            probs_ptr=probs_ptr + index * side * side,
            box_ptr=boxes_ptr + index * 4,
            y=y,
            x=x,
            side=side,
            threshold=threshold,
        )
        area = tl.sum(tl.sum(is_mask.to(tl.int32), 1), 0)
        tl.atomic_add(areas_ptr + rank, area, sem="relaxed")
        words |= tl.where(is_mask, bit, 0)
        left_to_do ^= bit
    # Who meets whom.
    lay_word(
        words=tl.reshape(words, (ROWS * COLUMNS,)),
        is_taken=owner > 0,
        words_ptr=words_ptr,
        state_ptr=state_ptr,
        first=first,
        num_masks=num_masks,
        num_tiles=num_tiles,
    )

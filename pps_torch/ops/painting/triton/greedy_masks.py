"""The Triton twin of `greedy_masks`: masks are packed to bits once, then chosen and painted.

Each eligible mask is read once. The bits, N / 8 bytes a pixel, are what the rounds read.
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
    count_bits,
    index_of_bit,
    is_settled,
    lowest_bit,
    store_choice,
)

# Pixels of a program that packs: a tile of them has 32 masks, 128 bytes a thread.
_PACK_PIXELS = 512

# Pixels of a program in a round: eight a thread, enough loads under way at once to hide latency.
_PIXELS = 1024

# The one program of an image that decides what the rounds leave has the image to itself: as many
# warps as help it to stream the pixels, with eight pixels a thread as above.
_FINISH_PIXELS, _FINISH_WARPS = 4096, 16


@torch.library.custom_op("pps_torch::greedy_masks", mutates_args=())
def greedy_masks(
    masks: Tensor, order: Tensor, eligible: Tensor, overlap_threshold: float
) -> tuple[Tensor, Tensor]:
    """See [`greedy_masks`][pps_torch.ops.painting.greedy_masks.greedy_masks]."""
    owner, keep = _outputs(masks, order, eligible, overlap_threshold)
    if masks.numel() == 0:
        return owner.zero_(), keep.zero_()
    num_images, num_masks, num_pixels = masks.shape
    image_stride, mask_stride, pixel_stride = masks.stride()
    num_words = triton.cdiv(num_masks, WORD_BITS.value)
    words = owner.new_empty(num_images, num_words, num_pixels)
    areas = owner.new_zeros(num_images, num_masks)
    allowed = torch.empty_like(areas)
    counts = areas.new_zeros(ROUNDS + 2, num_images, num_masks)
    eligible = eligible.contiguous()
    sizes = {"num_pixels": num_pixels, "num_masks": num_masks}
    tiles = (triton.cdiv(num_pixels, _PIXELS), num_images)
    with torch.cuda.device_of(masks):
        _pack_kernel[(triton.cdiv(num_pixels, _PACK_PIXELS), num_images)](
            masks_ptr=masks.view(torch.uint8),
            order_ptr=order.contiguous(),
            eligible_ptr=eligible,
            words_ptr=words,
            areas_ptr=areas,
            counts_ptr=counts[1],
            image_stride=image_stride,
            mask_stride=mask_stride,
            pixel_stride=pixel_stride,
            **sizes,
            BLOCK=_PACK_PIXELS,
        )
        allow_overlap(areas, eligible, allowed, overlap_threshold=overlap_threshold)
        for last in range(1, ROUNDS + 1):
            _count_round_kernel[tiles](
                words_ptr=words,
                allowed_ptr=allowed,
                counts_ptr=counts,
                last=last,
                **sizes,
                num_images=num_images,
                BLOCK=_PIXELS,
            )
        _finish_kernel[(num_images,)](
            words_ptr=words,
            allowed_ptr=allowed,
            counts_ptr=counts,
            owner_ptr=owner,
            keep_ptr=keep,
            last=ROUNDS,
            **sizes,
            num_images=num_images,
            BLOCK=_FINISH_PIXELS,
            num_warps=_FINISH_WARPS,
        )
        _paint_kernel[tiles](
            words_ptr=words,
            allowed_ptr=allowed,
            counts_ptr=counts[-1],
            owner_ptr=owner,
            **sizes,
            BLOCK=_PIXELS,
        )
    return owner, keep


@greedy_masks.register_fake
def _outputs(
    masks: Tensor, order: Tensor, eligible: Tensor, overlap_threshold: float
) -> tuple[Tensor, Tensor]:
    """Allocate the results; all that is known of them while a graph is captured."""
    num_images, _, num_pixels = masks.shape
    owner = masks.new_empty((num_images, num_pixels), dtype=torch.int32)
    return owner, torch.empty_like(eligible, memory_format=torch.contiguous_format)


@triton.jit(do_not_specialize=["num_masks"])
def _pack_kernel(
    masks_ptr,
    order_ptr,
    eligible_ptr,
    words_ptr,
    areas_ptr,
    counts_ptr,
    image_stride,
    mask_stride,
    pixel_stride,
    num_pixels,
    num_masks,
    BLOCK: tl.constexpr,
):
    """Pack the masks of a block of pixels to words of bits by rank; count areas, and round 1.

    Round 1 keeps all eligible masks, so a pixel of a mask is hidden where any mask before it lies.
    """
    image = tl.program_id(1).to(tl.int64)
    masks_ptr += image * image_stride
    order_ptr += image * num_masks
    eligible_ptr += image * num_masks
    areas_ptr += image * num_masks
    counts_ptr += image * num_masks
    num_words = tl.cdiv(num_masks, WORD_BITS)
    words_ptr += image * num_words * num_pixels
    lane = tl.arange(0, 32)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    is_taken = pixel < 0
    for first in range(0, num_masks, WORD_BITS):
        # The eligible masks of a word are read, wherever they lie.
        rank = first + lane
        in_word = (lane < WORD_BITS) & (rank < num_masks)
        eligible = tl.load(eligible_ptr + rank, mask=in_word, other=0) != 0
        if tl.max(eligible.to(tl.int32), 0) != 0:
            index = tl.load(order_ptr + rank, mask=eligible, other=0)
            stored = tl.load(
                masks_ptr
                + (index * mask_stride)[:, None]
                + (pixel.to(tl.int64) * pixel_stride)[None, :],
                mask=eligible[:, None] & in_image[None, :],
                other=0,
            )
            # Their areas, and the word itself.
            bits = (stored != 0).to(tl.int32)  # a byte seen as a bool may be neither 0 nor 1
            area = tl.sum(bits, 1)
            tl.atomic_add(areas_ptr + rank, area, mask=area > 0, sem="relaxed")
            words = tl.sum(bits << (lane % WORD_BITS)[:, None], 0)
            tl.store(words_ptr + pixel, words, mask=in_image)
            # All but the first mask of a pixel are hidden there.
            hidden = tl.where(is_taken, words, words & -(lowest_bit(words) << 1))
            count_bits(hidden, counts_ptr + first)
            is_taken = is_taken | (words != 0)
        words_ptr += num_pixels


@triton.jit
def _count_word(words, is_taken, kept, counts_ptr):
    """Add, for each mask of a word, its pixels that are taken; return what is taken after it."""
    front = lowest_bit(words & kept)
    count_bits(tl.where(is_taken, words, words & -(front << 1)), counts_ptr)
    return is_taken | (front != 0)


@triton.jit
def _count_tile(words_ptr, allowed_ptr, before_ptr, counts_ptr, pixel, num_pixels, num_masks):
    """Add, for each mask, its pixels of a tile that kept masks before it hide."""
    in_image = pixel < num_pixels
    is_taken = pixel < 0
    for first in range(0, num_masks, WORD_BITS):
        candidates, kept = choice_of_word(allowed_ptr, before_ptr, first, num_masks)
        if candidates != 0:
            words = tl.load(words_ptr + pixel, mask=in_image, other=0)
            is_taken = _count_word(words, is_taken, kept, counts_ptr + first)
        words_ptr += num_pixels


@triton.jit(do_not_specialize=["last", "num_masks", "num_images"])
def _count_round_kernel(
    words_ptr,
    allowed_ptr,
    counts_ptr,
    last,
    num_pixels,
    num_masks,
    num_images,
    BLOCK: tl.constexpr,
):
    """Count the hidden pixels of the round after `last`, given the choice of `last`."""
    image = tl.program_id(1)
    allowed_ptr += image * num_masks
    now_ptr = counts_ptr + (last * num_images + image) * num_masks
    before_ptr = now_ptr - num_images * num_masks
    next_ptr = now_ptr + num_images * num_masks
    if is_settled(allowed_ptr, before_ptr, now_ptr, num_masks):
        if tl.program_id(0) == 0:
            copy_counts(now_ptr, next_ptr, num_masks)
    else:
        words_ptr += image.to(tl.int64) * tl.cdiv(num_masks, WORD_BITS) * num_pixels
        pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        _count_tile(words_ptr, allowed_ptr, now_ptr, next_ptr, pixel, num_pixels, num_masks)


@triton.jit(do_not_specialize=["last", "num_masks", "num_images"])
def _finish_kernel(
    words_ptr,
    allowed_ptr,
    counts_ptr,
    owner_ptr,
    keep_ptr,
    last,
    num_pixels,
    num_masks,
    num_images,
    BLOCK: tl.constexpr,
):
    """Decide an image that is not settled, word after word; the last counts take the result.

    A word's masks are counted given the words before it until their choice stays as it is, at
    most once for each and once more. `owner`, painted later, holds the pixels that are taken.
    """
    image = tl.program_id(0)
    allowed_ptr += image * num_masks
    words_ptr += image.to(tl.int64) * tl.cdiv(num_masks, WORD_BITS) * num_pixels
    before_ptr = counts_ptr + (last * num_images + image) * num_masks
    now_ptr = before_ptr + num_images * num_masks
    if not is_settled(allowed_ptr, before_ptr, now_ptr, num_masks):
        owner_ptr += image.to(tl.int64) * num_pixels
        clear(owner_ptr, num_pixels, BLOCK)
        for first in range(0, num_masks, WORD_BITS):
            candidates, kept = choice_of_word(allowed_ptr, now_ptr, first, num_masks)
            if candidates != 0:
                # Count the word until its choice stays as it is.
                before = ~kept
                while before != kept:
                    tl.debug_barrier()  # all have read the counts; what is taken is written
                    clear(now_ptr + first, tl.minimum(num_masks - first, WORD_BITS), 32)
                    tl.debug_barrier()
                    for start in range(0, num_pixels, BLOCK):
                        pixel = start + tl.arange(0, BLOCK)
                        in_image = pixel < num_pixels
                        words = tl.load(words_ptr + pixel, mask=in_image, other=0)
                        is_taken = tl.load(owner_ptr + pixel, mask=in_image, other=0) != 0
                        _count_word(words, is_taken, kept, now_ptr + first)
                    tl.debug_barrier()
                    before = kept
                    _, kept = choice_of_word(allowed_ptr, now_ptr, first, num_masks)
                # Its kept masks take their pixels from the words after it.
                for start in range(0, num_pixels, BLOCK):
                    pixel = start + tl.arange(0, BLOCK)
                    words = tl.load(words_ptr + pixel, mask=pixel < num_pixels, other=0)
                    tl.store(owner_ptr + pixel, 1, mask=(words & kept) != 0)
            words_ptr += num_pixels
        tl.debug_barrier()
    # Settled by the rounds, or decided here: the last counts say which masks are kept.
    store_choice(allowed_ptr, now_ptr, keep_ptr + image * num_masks, num_masks)


@triton.jit(do_not_specialize=["num_masks"])
def _paint_kernel(
    words_ptr, allowed_ptr, counts_ptr, owner_ptr, num_pixels, num_masks, BLOCK: tl.constexpr
):
    """Paint each pixel with the rank + 1 of the first kept mask on it."""
    image = tl.program_id(1)
    allowed_ptr += image * num_masks
    counts_ptr += image * num_masks
    words_ptr += image.to(tl.int64) * tl.cdiv(num_masks, WORD_BITS) * num_pixels
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    owner = tl.zeros((BLOCK,), tl.int32)
    for first in range(0, num_masks, WORD_BITS):
        _, kept = choice_of_word(allowed_ptr, counts_ptr, first, num_masks)
        if kept != 0:
            words = tl.load(words_ptr + pixel, mask=pixel < num_pixels, other=0)
            front = lowest_bit(words & kept)
            rank = first + index_of_bit(front)
            owner = tl.where((owner == 0) & (front != 0), rank + 1, owner)
        words_ptr += num_pixels
    owner_ptr += image.to(tl.int64) * num_pixels
    tl.store(owner_ptr + pixel, owner, mask=pixel < num_pixels)

"""Rounds towards the greedy choice, its only fixed point: what kernels of all masks share.

Whether a mask is kept depends on how many of its pixels the kept masks before it hide. A round
counts them, given the choice of the round before. After k rounds the first k masks are decided for
good, and most often all are after a few: a choice that a round leaves as it was is the only one
that fulfils the rule, so it is the greedy one.

`counts[k]` holds the hidden pixels of round k; a mask is kept while they are at most its entry of
`allowed`, so the choice is never stored. Round 0 hides nothing.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

#: Rounds over the whole grid; a settled image leaves a round at once. One program an image then
#: decides in the order of the ranks what is left, so that chains of any depth are exact and none
#: takes a round for each of its masks.
ROUNDS = 8

#: Masks in an int32 word; its sign bit stays free.
WORD_BITS = tl.constexpr(31)

# Masks that are looked at in one step: one a thread, with the four warps that most kernels have.
_MASKS = tl.constexpr(128)


def allow_overlap(
    areas: Tensor, eligible: Tensor, allowed: Tensor, *, overlap_threshold: float
) -> None:
    """Write to `allowed` the most hidden pixels with which each mask is kept, -1 if it never is.

    Args:
        areas, eligible, allowed: `(B, N)` int32, bool and int32, contiguous.
        overlap_threshold: fraction 0..1.
    """
    _allow_overlap_kernel[(triton.cdiv(areas.numel(), _MASKS.value),)](
        areas_ptr=areas,
        eligible_ptr=eligible,
        allowed_ptr=allowed,
        num_masks=areas.numel(),
        THRESHOLD=overlap_threshold,
        BLOCK=_MASKS.value,
    )


@triton.jit(do_not_specialize=["num_masks"])
def _allow_overlap_kernel(
    areas_ptr, eligible_ptr, allowed_ptr, num_masks, THRESHOLD: tl.constexpr, BLOCK: tl.constexpr
):
    """Find the largest count below the area for which count / area is at most the threshold.

    Both are float64, as the plain torch version has them; a threshold that was an argument would
    be float32.
    """
    mask = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_range = mask < num_masks
    area = tl.load(areas_ptr + mask, mask=in_range, other=0).to(tl.float64)
    eligible = tl.load(eligible_ptr + mask, mask=in_range, other=0)
    threshold = tl.full((), THRESHOLD, tl.float64)
    guess = tl.floor(area * threshold).to(tl.int32)
    allowed = tl.full((BLOCK,), -1, tl.int32)
    for offset in tl.static_range(-1, 2):
        count = (guess + offset).to(tl.float64)
        fraction = count / tl.where(area > 0, area, 1)
        fits = (count >= 0) & (count < area) & (fraction <= threshold)
        allowed = tl.where(fits, guess + offset, allowed)
    tl.store(allowed_ptr + mask, tl.where(eligible != 0, allowed, -1), mask=in_range)


@triton.jit
def choice_of_word(allowed_ptr, counts_ptr, first, num_masks):
    """Masks `first` to `first + 30` as two words of bits: those that can be kept, and that are."""
    lane = tl.arange(0, 32)
    in_word = (lane < WORD_BITS) & (first + lane < num_masks)
    allowed = tl.load(allowed_ptr + first + lane, mask=in_word, other=-1)
    hidden = tl.load(counts_ptr + first + lane, mask=in_word, other=0)
    bit = tl.where(in_word, 1 << (lane % WORD_BITS), 0)
    candidates = tl.sum(tl.where(allowed >= 0, bit, 0), 0)
    return candidates, tl.sum(tl.where(hidden <= allowed, bit, 0), 0)


@triton.jit
def is_settled(allowed_ptr, before_ptr, now_ptr, num_masks):
    """Tell whether two rounds of an image choose the same masks."""
    differs = tl.zeros((_MASKS,), tl.int32)
    for first in range(0, num_masks, _MASKS):
        mask = first + tl.arange(0, _MASKS)
        in_range = mask < num_masks
        allowed = tl.load(allowed_ptr + mask, mask=in_range, other=-1)
        before = tl.load(before_ptr + mask, mask=in_range, other=0) <= allowed
        now = tl.load(now_ptr + mask, mask=in_range, other=0) <= allowed
        differs = tl.where(before != now, 1, differs)
    return tl.max(differs, 0) == 0


@triton.jit
def copy_counts(source_ptr, target_ptr, num_masks):
    """Copy the counts of an image from one round to another."""
    for first in range(0, num_masks, _MASKS):
        mask = first + tl.arange(0, _MASKS)
        counts = tl.load(source_ptr + mask, mask=mask < num_masks, other=0)
        tl.store(target_ptr + mask, counts, mask=mask < num_masks)


@triton.jit
def store_choice(allowed_ptr, counts_ptr, keep_ptr, num_masks):
    """Write which masks of an image are kept."""
    for first in range(0, num_masks, _MASKS):
        mask = first + tl.arange(0, _MASKS)
        in_range = mask < num_masks
        allowed = tl.load(allowed_ptr + mask, mask=in_range, other=-1)
        hidden = tl.load(counts_ptr + mask, mask=in_range, other=0)
        tl.store(keep_ptr + mask, hidden <= allowed, mask=in_range)


@triton.jit
def clear(values_ptr, number, BLOCK: tl.constexpr):
    """Set the first `number` int32 values to zero."""
    for first in range(0, number, BLOCK):
        index = first + tl.arange(0, BLOCK)
        tl.store(values_ptr + index, tl.zeros((BLOCK,), tl.int32), mask=index < number)


@triton.jit
def index_of_bit(bit):
    """The position of the only bit that is set: the exponent of its float32."""
    return (bit.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127


@triton.jit
def lowest_bit(words):
    """The lowest bit of each word, 0 where there is none."""
    return words & -words


@triton.jit
def count_bits(words, counts_ptr):
    """Add to each mask's count the number of words that have its bit."""
    bit = tl.max(lowest_bit(words), 0)
    while bit != 0:
        number = tl.sum(((words & bit) != 0).to(tl.int32), 0)
        tl.atomic_add(counts_ptr + index_of_bit(bit), number, sem="relaxed")
        words &= ~bit
        bit = tl.max(lowest_bit(words), 0)

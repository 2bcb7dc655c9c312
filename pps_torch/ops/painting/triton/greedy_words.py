"""The greedy choice, a word of masks after the other: what kernels of all masks share.

A word holds the next 31 masks by rank, as bits. Two launches decide it for good:

1. It is laid on the image, by the kernels of masks and of boxes, which know where a mask lies. The
   pixels of each mask are counted, and those of them that the words before have taken. Where they
   took none, it matters which masks of the word meet: such sets of masks, the patterns, are counted
   in a table. An image made of regions has few.
2. One program an image goes through the masks of the word by rank. The table tells it how many more
   pixels of a mask those kept before it in the word hide.

So the time does not depend on the choice itself: a queue, in which each mask decides the next one,
costs what masks cost that meet as often. Only noise is slow, where a tile of pixels has hundreds of
patterns.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.launches import Launcher, num_blocks
from pps_torch.ops.painting.triton.doubles import bits_of_double, double_of_bits

#: Masks in an int32 word. Its sign bit marks pixels whose pattern is not in the table.
WORD_BITS = tl.constexpr(31)
_SIGN = tl.constexpr(-(1 << 31))

# Patterns in the table of an image, four a thread of the program that chooses; a power of two.
_LOG_PATTERNS = tl.constexpr(10)
_PATTERNS = tl.constexpr(1 << _LOG_PATTERNS.value)
_CHOOSE_WARPS = 8

# Patterns of a tile that go into the table. The 62 ends of 31 masks in a row cut it into 61 pieces,
# a pattern each; half as many again are for masks of other shapes. A tile with more, of noise,
# keeps the rest in its pixels; the program that chooses reads all of it.
_TILE_PATTERNS = tl.constexpr(96)

# Pixels that the program that chooses reads at once in such tiles: eight a thread.
_CHOOSE_PIXELS = 2048


class Greedy(NamedTuple):
    """A greedy choice under way: what its launches hand on, and its sizes."""

    words: Tensor  # (B, T * tile) int32, tile by tile: the word laid last, 0 at pixels taken before
    state: Tensor  # (B, state_size) int32, see `parts_of_state`; zeros at the start
    eligible: Tensor  # (*B, N) bool, by rank
    keep: Tensor  # (*B, N) bool, by rank
    num_images: int
    num_masks: int  # an image
    num_tiles: int  # an image
    tile: int  # pixels

    def arguments(self) -> dict[str, Tensor | int]:
        """What all kernels take."""
        return {
            "words_ptr": self.words,
            "state_ptr": self.state,
            "num_masks": self.num_masks,
            "num_tiles": self.num_tiles,
        }


def state_size(num_masks: int, num_tiles: int) -> int:
    """Elements of an image's state."""
    num_words = num_blocks(num_masks, WORD_BITS.value)
    return num_words + 2 * num_masks + 1 + num_tiles + 2 * _PATTERNS.value


def choose_word(launch: Launcher, greedy: Greedy, first: int, overlap_threshold: float) -> None:
    """Choose among the masks of the word that begins at rank `first`, and has been laid."""
    launch(
        _choose_kernel,
        greedy.num_images,
        **greedy.arguments(),
        eligible_ptr=greedy.eligible,
        keep_ptr=greedy.keep,
        first=first,
        threshold_bits=bits_of_double(overlap_threshold),
        TILE=greedy.tile,
        TILES=max(_CHOOSE_PIXELS // greedy.tile, 1),
        num_warps=_CHOOSE_WARPS,
    )


def paint_owners(
    launch: Launcher, greedy: Greedy, owner: Tensor, size: tuple[int, int], tile: tuple[int, int]
) -> None:
    """Bring the owners of an image of some size up to the last word, in tiles of some size."""
    launch(
        _paint_owners_kernel,
        greedy.num_images * greedy.num_tiles,
        **greedy.arguments(),
        owner_ptr=owner,
        height=size[0],
        width=size[1],
        ROWS=tile[0],
        COLUMNS=tile[1],
    )


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


@triton.jit
def parts_of_state(state_ptr, num_masks, num_tiles, image):
    """Where the parts of an image's state begin, one behind the other.

    The kept masks of each word; the pixels of each mask; those of them that the words before took;
    tiles with patterns that are not in the table, their number first; the table: patterns, and the
    pixels of each.
    """
    num_words = tl.cdiv(num_masks, WORD_BITS)
    size = num_words + 2 * num_masks + 1 + num_tiles + 2 * _PATTERNS
    kept_ptr = state_ptr + image.to(tl.int64) * size
    areas_ptr = kept_ptr + num_words
    hidden_ptr = areas_ptr + num_masks
    num_full_ptr = hidden_ptr + num_masks
    patterns_ptr = num_full_ptr + 1 + num_tiles
    return kept_ptr, areas_ptr, hidden_ptr, num_full_ptr, patterns_ptr, patterns_ptr + _PATTERNS


@triton.jit
def pixels_of_tile(tile, height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """The pixels of a tile, row by row, and whether they are in the image."""
    place = tl.arange(0, ROWS * COLUMNS)
    row = tile // tl.cdiv(width, COLUMNS) * ROWS + place // COLUMNS
    column = tile % tl.cdiv(width, COLUMNS) * COLUMNS + place % COLUMNS
    return row.to(tl.int64) * width + column, (row < height) & (column < width)


@triton.jit
def owners_before(first, owner_ptr, words_ptr, kept_ptr, in_image):
    """Bring the owners of some pixels up to the word before rank `first`, in memory too.

    `owner_ptr` and `words_ptr` are those of the pixels, `kept_ptr` that of the image.
    """
    owner = tl.zeros(in_image.shape, tl.int32)
    if first > 0:
        kept = tl.load(kept_ptr + first // WORD_BITS - 1)
        owner = tl.load(owner_ptr, mask=in_image & (first > WORD_BITS), other=0)
        words = tl.load(words_ptr, mask=in_image & (kept != 0), other=0)
        front = lowest_bit(words & kept)
        owner = tl.where(front != 0, first - WORD_BITS + index_of_bit(front) + 1, owner)
        tl.store(owner_ptr, owner, mask=in_image & ((front != 0) | (first == WORD_BITS)))
    return owner


@triton.jit
def lay_word(words, is_taken, words_ptr, state_ptr, first, num_masks, num_tiles):
    """Lay a word on the tile of a program: count what is hidden, and where masks meet.

    `words_ptr` is that of the tile's pixels.
    """
    image, tile = tl.program_id(0) // num_tiles, tl.program_id(0) % num_tiles
    _, _, hidden_ptr, num_full_ptr, patterns_ptr, numbers_ptr = parts_of_state(
        state_ptr, num_masks, num_tiles, image
    )
    if tl.max(words, 0) != 0:
        # Pixels that are taken are hidden, whatever is kept of the word.
        count_bits(tl.where(is_taken, words, 0), hidden_ptr + first)
        words = tl.where(is_taken, 0, words)
        # Of the others count the patterns, one after the other.
        left = tl.where((words & (words - 1)) != 0, words, 0)
        num_patterns = 0
        is_full = False
        pattern = tl.max(left, 0)
        while (pattern != 0) & (num_patterns < _TILE_PATTERNS):
            number = tl.sum((left == pattern).to(tl.int32), 0)
            left = tl.where(left == pattern, 0, left)
            slot = _slot_of_pattern(pattern, patterns_ptr)
            if slot >= 0:
                tl.atomic_add(numbers_ptr + slot, number, sem="relaxed")
            else:
                words = tl.where(words == pattern, words | _SIGN, words)
                is_full = True
            pattern = tl.max(left, 0)
            num_patterns += 1
        # Those that the table has no place for are marked in the pixels.
        if is_full | (pattern != 0):
            words = tl.where(left != 0, words | _SIGN, words)
            position = tl.atomic_add(num_full_ptr, 1, sem="relaxed")
            tl.store(num_full_ptr + 1 + position, tile)
    tl.debug_barrier()  # all have read the word before, which this one takes the place of
    tl.store(words_ptr, words)


@triton.jit
def _slot_of_pattern(pattern, patterns_ptr):
    """The slot of a pattern in the table, or -1: one of four neighbours, the first that is free."""
    slot = ((pattern.to(tl.uint32) * 0x61C88647) >> (32 - _LOG_PATTERNS)).to(tl.int32)
    found = tl.atomic_cas(patterns_ptr + slot, 0, pattern, sem="relaxed")
    num_tries = 1
    while (found != 0) & (found != pattern) & (num_tries < 4):
        slot = (slot + 1) % _PATTERNS
        found = tl.atomic_cas(patterns_ptr + slot, 0, pattern, sem="relaxed")
        num_tries += 1
    return tl.where((found == 0) | (found == pattern), slot, -1)


@triton.jit(do_not_specialize=["first", "num_masks", "num_tiles", "threshold_bits"])
def _choose_kernel(
    words_ptr,
    state_ptr,
    eligible_ptr,
    keep_ptr,
    first,
    num_masks,
    num_tiles,
    threshold_bits,
    TILE: tl.constexpr,
    TILES: tl.constexpr,
):
    """Choose among the masks of a word of an image, in order; leave the table empty."""
    # The table, emptied for the word after this.
    image = tl.program_id(0).to(tl.int64)
    kept_ptr, areas_ptr, hidden_ptr, num_full_ptr, patterns_ptr, numbers_ptr = parts_of_state(
        state_ptr, num_masks, num_tiles, image
    )
    slot = tl.arange(0, _PATTERNS)
    patterns, numbers = tl.load(patterns_ptr + slot), tl.load(numbers_ptr + slot)
    num_full = tl.load(num_full_ptr)
    tl.debug_barrier()  # all have read the number
    tl.store(patterns_ptr + slot, 0)
    tl.store(numbers_ptr + slot, 0)
    tl.store(num_full_ptr, 0)
    words_ptr += image * num_tiles * TILE
    eligible_ptr += image * num_masks
    keep_ptr += image * num_masks
    threshold = double_of_bits(threshold_bits)
    kept = 0
    for bit in range(0, tl.minimum(num_masks - first, WORD_BITS)):
        mask = first + bit
        area, hidden = tl.load(areas_ptr + mask), tl.load(hidden_ptr + mask)
        is_eligible = tl.load(eligible_ptr + mask) != 0
        # The pixels that kept masks of the word hide: in the table, and if need be in full tiles.
        is_hidden = ((patterns >> bit) & 1 != 0) & (patterns & kept != 0)
        hidden += tl.sum(tl.where(is_hidden, numbers, 0), 0)
        fits = is_eligible & _is_kept(hidden, area, threshold)
        if fits & (num_full != 0) & (kept != 0):
            hidden += _count_unlisted(
                words_ptr, num_full_ptr + 1, num_full, bit, kept, TILE=TILE, TILES=TILES
            )
            fits = _is_kept(hidden, area, threshold)
        tl.store(keep_ptr + mask, fits)
        kept |= fits.to(tl.int32) << bit
    tl.store(kept_ptr + first // WORD_BITS, kept)


@triton.jit
def _is_kept(hidden, area, threshold):
    """The rule: some of the area is left, and enough; in float64, as the torch version has it."""
    fraction = hidden.to(tl.float64) / tl.maximum(area, 1).to(tl.float64)
    return (hidden < area) & (fraction <= threshold)


@triton.jit
def _count_unlisted(
    words_ptr, full_tiles_ptr, num_full, bit, kept, TILE: tl.constexpr, TILES: tl.constexpr
):
    """Count the pixels of a mask that kept ones hide, where the pattern is not in the table."""
    num_hidden = tl.zeros((TILES, TILE), tl.int32)
    for start in range(0, num_full, TILES):
        position = start + tl.arange(0, TILES)
        tile = tl.load(full_tiles_ptr + position, mask=position < num_full, other=0)
        pixel = tile[:, None] * TILE + tl.arange(0, TILE)[None, :]
        words = tl.load(words_ptr + pixel, mask=(position < num_full)[:, None], other=0)
        is_hidden = (words < 0) & ((words >> bit) & 1 != 0) & (words & kept != 0)
        num_hidden += is_hidden.to(tl.int32)
    return tl.sum(tl.sum(num_hidden, 1), 0)


@triton.jit(do_not_specialize=["num_masks", "num_tiles", "height"])
def _paint_owners_kernel(
    owner_ptr,
    words_ptr,
    state_ptr,
    num_masks,
    num_tiles,
    height,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Bring the owners of a tile up to the last word."""
    image, tile = tl.program_id(0) // num_tiles, tl.program_id(0) % num_tiles
    pixel, in_image = pixels_of_tile(tile, height, width, ROWS, COLUMNS)
    words_ptr += tl.program_id(0).to(tl.int64) * (ROWS * COLUMNS)
    owners_before(
        first=tl.cdiv(num_masks, WORD_BITS) * WORD_BITS,
        owner_ptr=owner_ptr + image.to(tl.int64) * height * width + pixel,
        words_ptr=words_ptr + tl.arange(0, ROWS * COLUMNS),
        kept_ptr=parts_of_state(state_ptr, num_masks, num_tiles, image)[0],
        in_image=in_image,
    )

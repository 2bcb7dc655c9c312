"""The Triton twin of `greedy_masks`: each eligible mask is read once, packed to bits."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, is_in_graph, num_blocks
from pps_torch.ops.painting.triton.greedy_words import (
    WORD_BITS,
    Greedy,
    choose_word,
    lay_word,
    owners_before,
    paint_owners,
    parts_of_state,
    state_size,
)

# What a program loads of a mask at once, four integers a thread of its one warp, 16 bytes where an
# integer has four pixels. It reads eight masks at once, and all that it counts stays in the warp.
_LOADS, _WARPS = 128, 1

# The same where an integer has one pixel: each has an address of its own, which takes registers.
_BYTE_LOADS = 64


@direct_operator("pps_torch::greedy_masks")
def greedy_masks(
    masks: Tensor, order: Tensor, eligible: Tensor, overlap_threshold: float
) -> tuple[Tensor, Tensor]:
    """See [`greedy_masks`][pps_torch.ops.painting.greedy_masks.greedy_masks]."""
    owner, keep = _outputs(masks, order, eligible, overlap_threshold)
    inputs = (masks, order, eligible, overlap_threshold)
    with torch.cuda.device_of(masks):
        choose_masks(Launcher("greedy_masks", *inputs), *inputs, owner, keep)
    return owner, keep


@greedy_masks.register_fake
def _outputs(
    masks: Tensor, order: Tensor, eligible: Tensor, overlap_threshold: float
) -> tuple[Tensor, Tensor]:
    """Allocate the results; all that is known of them while a graph is captured."""
    num_images, _, num_pixels = masks.shape
    owner = masks.new_empty((num_images, num_pixels), dtype=torch.int32)
    return owner, torch.empty_like(eligible, memory_format=torch.contiguous_format)


def choose_masks(
    launch: Launcher,
    masks: Tensor,
    order: Tensor,
    eligible: Tensor,
    overlap_threshold: float,
    owner: Tensor,
    keep: Tensor,
    num_zeros: int = 0,
) -> Tensor:
    """Launch what writes `owner` and `keep`, given masks `(B, N, H * W)`.

    Returns an int32 tensor that ends in `num_zeros` zeros, for what follows.
    """
    num_images, num_masks, num_pixels = masks.shape
    if masks.numel() == 0:
        owner.zero_()
        keep.zero_()
        return owner.new_zeros(num_zeros)
    stored = _as_read(masks)
    tile = 4 * _LOADS if stored.element_size() == 4 else _BYTE_LOADS
    num_tiles = num_blocks(num_pixels, tile)
    state = owner.new_zeros(num_images * state_size(num_masks, num_tiles) + num_zeros)
    words = owner.new_empty(num_images * num_tiles * tile)
    sizes = (num_images, num_masks, num_tiles, tile)
    greedy = Greedy(words, state, eligible.contiguous(), keep, *sizes)
    image_stride, mask_stride, pixel_stride = stored.stride()
    arguments = {
        "masks_ptr": stored,
        "order_ptr": order.contiguous(),
        "eligible_ptr": greedy.eligible,
        "owner_ptr": owner,
        **greedy.arguments(),
        "image_stride": image_stride,
        "mask_stride": mask_stride,
        "pixel_stride": pixel_stride,
        "num_pixels": num_pixels,
        "num_loads": stored.shape[2],
        "TILE": tile,
        "BYTES": stored.element_size(),
        "num_warps": _WARPS,
    }
    for first in range(0, num_masks, WORD_BITS.value):
        launch(_lay_masks_kernel, num_images * num_tiles, **arguments, first=first)
        choose_word(launch, greedy, first, overlap_threshold)
    paint_owners(launch, greedy, owner, (1, num_pixels), (1, tile))
    return state


def _as_read(masks: Tensor) -> Tensor:
    """View masks as integers of four pixels where each can be loaded as one."""
    if is_in_graph(masks):  # no address tells whether it can
        return masks
    *strides, pixel_stride = masks.stride()
    starts = (masks.data_ptr(), masks.storage_offset(), masks.shape[2], *strides)
    is_aligned = pixel_stride == 1 and not any(start % 4 for start in starts)
    return masks.view(torch.int32) if is_aligned else masks


@triton.jit
def _load_planes(
    integers_ptr, order_ptr, eligible_ptr, areas_ptr, mask_stride, is_inside, rank, end
):
    """Load eight masks from `rank` on, none from `end` on, at some integers; count their areas.

    Returns integers with a byte for each pixel, whose bits are the masks.
    """
    lane = tl.arange(0, 8)
    eligible = tl.load(eligible_ptr + rank + lane, mask=rank + lane < end, other=0) != 0
    index = tl.load(order_ptr + rank + lane, mask=eligible, other=0)
    stored = tl.load(
        integers_ptr[None, :] + (index * mask_stride)[:, None],
        mask=eligible[:, None] & is_inside[None, :],
        other=0,
    ).to(tl.uint32)
    # Bytes that are not 0 become 1; four integers of them are added before their bytes are.
    bits = ((((stored & 0x7F7F7F7F) + 0x7F7F7F7F) | stored) & 0x80808080) >> 7
    sums = tl.sum(tl.reshape(bits, (8, bits.shape[1] // 4, 4)), 2)
    areas = tl.sum((sums * 0x01010101) >> 24, 1).to(tl.int32)
    tl.atomic_add(areas_ptr + rank + lane, areas, mask=areas > 0, sem="relaxed")
    return tl.sum(bits << lane.to(tl.uint32)[:, None], 0)


@triton.jit(do_not_specialize=["first", "num_masks", "num_tiles"])
def _lay_masks_kernel(
    masks_ptr,
    order_ptr,
    eligible_ptr,
    owner_ptr,
    words_ptr,
    state_ptr,
    image_stride,
    mask_stride,
    pixel_stride,
    first,
    num_masks,
    num_tiles,
    num_pixels,
    num_loads,
    TILE: tl.constexpr,
    BYTES: tl.constexpr,
):
    """Lay the word of masks that begins at rank `first` on a tile of pixels."""
    # What the words before have taken.
    image, tile = (tl.program_id(0) // num_tiles).to(tl.int64), tl.program_id(0) % num_tiles
    state = parts_of_state(state_ptr, num_masks, num_tiles, image)
    kept_ptr, areas_ptr = state[0], state[1]
    pixel = tile * TILE + tl.arange(0, TILE)
    words_ptr += tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    owner = owners_before(
        first=first,
        owner_ptr=owner_ptr + image * num_pixels + pixel,
        words_ptr=words_ptr,
        kept_ptr=kept_ptr,
        in_image=pixel < num_pixels,
    )
    # The word itself: sixteen masks give half a word to each pixel of an integer, 0 to 3.
    load = tile * (TILE // BYTES) + tl.arange(0, TILE // BYTES)
    inputs = (
        masks_ptr + image * image_stride + load.to(tl.int64) * pixel_stride,
        order_ptr + image * num_masks,
        eligible_ptr + image * num_masks,
        areas_ptr,
        mask_stride,
        load < num_loads,
    )
    end = tl.minimum(first + WORD_BITS, num_masks)
    words_0 = tl.zeros((TILE // BYTES,), tl.uint32)
    words_1, words_2, words_3 = words_0, words_0, words_0
    for half in range(0, end - first, 16):
        low = _load_planes(*inputs, first + half, end)
        high = _load_planes(*inputs, first + half + 8, end)
        even = (low & 0x00FF00FF) | ((high << 8) & 0xFF00FF00)
        odd = ((low >> 8) & 0x00FF00FF) | (high & 0xFF00FF00)
        words_0 |= (even & 0xFFFF) << half
        words_1 |= (odd & 0xFFFF) << half
        words_2 |= (even >> 16) << half
        words_3 |= (odd >> 16) << half
    if BYTES == 4:
        words = tl.join(tl.join(words_0, words_2), tl.join(words_1, words_3))
        words = tl.reshape(words, (TILE,)).to(tl.int32)
    else:
        words = words_0.to(tl.int32)
    # Who meets whom.
    lay_word(
        words=words,
        is_taken=owner > 0,
        words_ptr=words_ptr,
        state_ptr=state_ptr,
        first=first,
        num_masks=num_masks,
        num_tiles=num_tiles,
    )

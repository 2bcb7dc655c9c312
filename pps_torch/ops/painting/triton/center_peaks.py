"""The centres of instances inside kernels: peaks of heat, and the highest of them."""

from __future__ import annotations

import triton
import triton.language as tl

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.painting.triton.center_sums import sums_of_image
from pps_torch.ops.painting.triton.doubles import double_of_bits


@triton.jit(do_not_specialize=["num_centers", "num_classes", "threshold_bits"])
def list_peaks_kernel(
    heat_ptr,
    highest_ptr,
    peaks_ptr,
    sums_ptr,
    num_centers,
    num_classes,
    num_pixels,
    threshold_bits,
    BLOCK: tl.constexpr,
):
    """Add the pixels whose heat is above the threshold, and that none around exceeds, to a list."""
    image, start = block_of_image(num_pixels, BLOCK)
    pixel = start + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    heat = tl.load(heat_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    highest = tl.load(highest_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    threshold = double_of_bits(threshold_bits).to(heat.dtype)
    is_peak = in_image & (heat > threshold) & (heat == highest)
    number = tl.sum(is_peak.to(tl.int32), 0)
    if number > 0:
        num_peaks_ptr, _, _, _, _, _ = sums_of_image(sums_ptr, image, num_centers, num_classes)
        first = tl.atomic_add(num_peaks_ptr, number.to(tl.int64), sem="relaxed")
        position = first + tl.cumsum(is_peak.to(tl.int32), 0) - 1
        tl.store(peaks_ptr + image * num_pixels + position, pixel, mask=is_peak)


@triton.jit(do_not_specialize=["num_centers", "num_classes", "width"])
def select_centers_kernel(
    heat_ptr,
    peaks_ptr,
    sums_ptr,
    unsorted_ptr,
    order_ptr,
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
    num_peaks_ptr, found_ptr, _, _, _, _ = sums_of_image(sums_ptr, image, num_centers, num_classes)
    num_peaks = tl.load(num_peaks_ptr).to(tl.int32)
    heat_ptr += image * num_pixels
    peaks_ptr += image * num_pixels
    unsorted_ptr += image * num_centers
    order_ptr += image * num_centers
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
        tl.store(order_ptr + position, position, mask=in_table)
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

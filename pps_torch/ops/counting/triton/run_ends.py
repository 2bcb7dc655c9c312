"""Runs of equal pixels inside Triton kernels: the share of a pixel in the count of its run.

A run from pixel a to pixel b counts b + 1 - a. Its last pixel adds b + 1, its first one subtracts
a, and the pixels between add nothing: few atomic additions, no scan, and exact in integers, even
where a counter wraps around in between. A run may cross the blocks of a map freely.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def differs_from_before(map_ptr, pixel, num_pixels):
    """Whether a map of one image has another value than at the pixel before, if there is one."""
    value = tl.load(map_ptr + pixel, mask=pixel < num_pixels, other=0)
    has_before = (pixel > 0) & (pixel < num_pixels)
    return has_before & (value != tl.load(map_ptr + pixel - 1, mask=has_before, other=0))


@triton.jit
def run_ends(map_ptr, values, pixel, num_pixels, is_first, is_last):
    """Add the places where a map changes to the first and last pixels of runs.

    Args:
        map_ptr: the map of one image.
        values: what it holds at `pixel`.
        pixel: numbers within the image.
        num_pixels: of the image.
        is_first, is_last: what is known from the border of the image and from other maps.
    """
    in_image = pixel < num_pixels
    before = tl.load(map_ptr + pixel - 1, mask=in_image & (pixel > 0), other=0)
    after = tl.load(map_ptr + pixel + 1, mask=pixel < num_pixels - 1, other=0)
    return is_first | (values != before), is_last | (values != after)


@triton.jit
def run_share(pixel, is_first, is_last):
    """Share of each pixel in the count of its run: int32, 0 inside the run."""
    return tl.where(is_last, pixel + 1, 0) - tl.where(is_first, pixel, 0)

"""Blocks of the images of a batch, one a program."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block_of_image(length, BLOCK: tl.constexpr):
    """The image of this program as int64, and where its block of the image's `length` begins.

    The blocks of all images are counted along x: along y and z a grid ends at 65,535.
    """
    num_blocks = tl.cdiv(length, BLOCK)
    image = (tl.program_id(0) // num_blocks).to(tl.int64)
    return image, tl.program_id(0) % num_blocks * BLOCK

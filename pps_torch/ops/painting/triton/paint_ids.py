"""The Triton twin of `paint_ids`: the last pass of the merges, which may paint over the owners."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.launches import Launcher, num_blocks

# Pixels of a program: eight a thread, enough loads under way at once to hide their latency.
_PIXELS = 1024


def paint_ids(launch: Launcher, owner: Tensor, ids: Tensor, painted: Tensor) -> None:
    """See [`paint_ids`][pps_torch.ops.painting.paint_ids.paint_ids]; `painted` gets the ids.

    All three are contiguous, and may have any batch dimensions; `painted` may be `owner` itself.
    """
    num_pixels = owner.shape[-2:].numel()
    if painted.numel():
        launch(
            _paint_kernel,
            ids.shape[:-1].numel() * num_blocks(num_pixels, _PIXELS),
            owner_ptr=owner,
            ids_ptr=ids,
            painted_ptr=painted,
            num_pixels=num_pixels,
            num_owners=ids.shape[-1],
            BLOCK=_PIXELS,
        )


@triton.jit(do_not_specialize=["num_owners"])
def _paint_kernel(owner_ptr, ids_ptr, painted_ptr, num_pixels, num_owners, BLOCK: tl.constexpr):
    """Paint a block of pixels; blocks are counted along x, where a grid may exceed 65,535."""
    image, start = block_of_image(num_pixels, BLOCK)
    pixel = start + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    owner = tl.load(owner_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    ids = tl.load(ids_ptr + image * num_owners + owner - 1, mask=owner > 0, other=0)
    tl.store(painted_ptr + image * num_pixels + pixel, ids.to(tl.int32), mask=in_image)

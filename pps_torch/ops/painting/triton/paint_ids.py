"""Owners of pixels become ids, in Triton."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

PIXELS = 1024


@torch.library.custom_op(
    "pps_torch::paint_ids",
    mutates_args=(),
    schema="(Tensor owner, Tensor ids) -> Tensor",
)
def paint_ids(owner: Tensor, ids: Tensor) -> Tensor:
    """See [`paint_ids`][pps_torch.ops.painting.paint_ids.paint_ids]."""
    painted = torch.empty_like(owner, memory_format=torch.contiguous_format)
    num_pixels = owner.shape[1:].numel()
    if painted.numel():
        with torch.cuda.device_of(owner):
            paint[(triton.cdiv(num_pixels, PIXELS), len(owner))](
                owner.contiguous(),
                ids.contiguous(),
                painted,
                num_pixels,
                ids.shape[1],
                BLOCK=PIXELS,
            )
    return painted


@paint_ids.register_fake
def _output(owner: Tensor, ids: Tensor) -> Tensor:
    return torch.empty_like(owner, memory_format=torch.contiguous_format)


@triton.jit(do_not_specialize=["num_owners"])
def paint(owner_ptr, ids_ptr, painted_ptr, num_pixels, num_owners, BLOCK: tl.constexpr):
    """The id of each pixel's owner; the two maps may be one."""
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    owner = tl.load(owner_ptr + image * num_pixels + pixel, mask=in_image, other=0)
    ids = tl.load(ids_ptr + image * num_owners + owner - 1, mask=owner > 0, other=0)
    tl.store(painted_ptr + image * num_pixels + pixel, ids.to(tl.int32), mask=in_image)

"""The Triton twin of `dense_indices`: one program an image walks along its keys."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

# Keys a step, 32 a thread of Triton's four warps: some 20,000 keys (classes x capacity) in five.
BLOCK = 4096


@torch.library.custom_op("pps_torch::dense_indices", mutates_args=())
def dense_indices(is_present: Tensor, capacity: int) -> tuple[Tensor, Tensor, Tensor]:
    """See [`dense_indices`][pps_torch.ops.scoring.dense_indices.dense_indices]."""
    num_images, num_keys = is_present.shape
    index = is_present.new_empty(num_images, num_keys, dtype=torch.int32)
    keys = is_present.new_zeros(num_images, capacity + 1, dtype=torch.int64)
    num_dropped = is_present.new_zeros((), dtype=torch.int64)
    if num_images:
        with torch.cuda.device_of(is_present):
            _number_keys_kernel[(num_images,)](
                is_present_ptr=is_present.contiguous(),
                index_ptr=index,
                keys_ptr=keys,
                num_dropped_ptr=num_dropped,
                num_keys=num_keys,
                capacity=capacity,
                BLOCK=BLOCK,
            )
    return index, keys, num_dropped


@dense_indices.register_fake
def _(is_present: Tensor, capacity: int) -> tuple[Tensor, Tensor, Tensor]:
    num_images, num_keys = is_present.shape
    index = is_present.new_empty(num_images, num_keys, dtype=torch.int32)
    keys = is_present.new_empty(num_images, capacity + 1, dtype=torch.int64)
    return index, keys, is_present.new_empty((), dtype=torch.int64)


@triton.jit
def _number_keys_kernel(
    is_present_ptr, index_ptr, keys_ptr, num_dropped_ptr, num_keys, capacity, BLOCK: tl.constexpr
):
    """Number the keys of one image, a block after the other."""
    image = tl.program_id(0).to(tl.int64)
    is_present_ptr += image * num_keys
    index_ptr += image * num_keys
    keys_ptr += image * (capacity + 1)
    num_found = 0
    for start in range(0, num_keys, BLOCK):
        key = start + tl.arange(0, BLOCK)
        in_range = key < num_keys
        mark = tl.load(is_present_ptr + key, mask=in_range & (key > 0), other=0).to(tl.int32)
        rank = num_found + tl.cumsum(mark, 0)
        is_kept = (mark > 0) & (rank <= capacity)
        tl.store(index_ptr + key, tl.where(is_kept, rank, 0), mask=in_range)
        tl.store(keys_ptr + rank, key.to(tl.int64), mask=is_kept)
        num_found += tl.sum(mark)
    if num_found > capacity:
        tl.atomic_add(num_dropped_ptr, (num_found - capacity).to(tl.int64), sem="relaxed")

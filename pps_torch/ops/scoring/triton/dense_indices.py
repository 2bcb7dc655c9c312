"""The Triton twin of `dense_indices`: one program an image walks along its marks."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher

# Marks a step, two loads of eight for each of 512 threads: some 20,000 keys (classes x capacity) in
# three steps.
BLOCK, NUM_WARPS = 8192, 16


@direct_operator("pps_torch::dense_indices")
def dense_indices(is_present: Tensor, capacity: int) -> tuple[Tensor, Tensor, Tensor]:
    """See [`dense_indices`][pps_torch.ops.scoring.dense_indices.dense_indices]."""
    num_images, num_keys = is_present.shape
    index = is_present.new_zeros(num_images, num_keys, dtype=torch.int32)
    keys = is_present.new_zeros(num_images, capacity + 1, dtype=torch.int64)
    num_dropped = is_present.new_zeros((), dtype=torch.int64)
    if num_images:
        launch = Launcher("dense_indices", is_present, capacity)
        with torch.cuda.device_of(is_present):
            launch(
                _number_keys_kernel,
                num_images,
                is_present_ptr=is_present.contiguous(),
                index_ptr=index,
                keys_ptr=keys,
                num_dropped_ptr=num_dropped,
                num_keys=num_keys,
                capacity=capacity,
                num_warps=NUM_WARPS,
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
    is_present_ptr,
    index_ptr,
    keys_ptr,
    num_dropped_ptr,
    num_keys,
    capacity,
    BLOCK: tl.constexpr = BLOCK,
):
    """Number the keys of one image."""
    image = tl.program_id(0).to(tl.int64)
    number_keys(
        is_present_ptr + image * num_keys,
        index_ptr + image * num_keys,
        keys_ptr + image * (capacity + 1),
        num_dropped_ptr,
        num_keys,
        capacity,
        BLOCK,
    )


@triton.jit
def number_keys(
    is_present_ptr, index_ptr, keys_ptr, num_dropped_ptr, num_keys, capacity, BLOCK: tl.constexpr
):
    """Number the keys that are present in an image, and store nothing for the others but key 0.

    Returns:
        how many have a number; those beyond the capacity have 0, and are added to the dropped ones.
    """
    tl.store(index_ptr, 0)
    num_found = 0
    for start in range(0, num_keys, BLOCK):
        key = start + tl.arange(0, BLOCK // 8)[:, None] * 8 + tl.arange(0, 8)[None, :]
        is_present = tl.load(is_present_ptr + key, mask=key < num_keys, other=0) != 0
        is_present &= key > 0
        num_of_eight = tl.sum(is_present.to(tl.int32), 1)
        num_new = tl.sum(num_of_eight, 0)
        if num_new > 0:
            before = num_found + tl.cumsum(num_of_eight, 0) - num_of_eight
            rank = before[:, None] + tl.cumsum(is_present.to(tl.int32), 1)
            is_kept = is_present & (rank <= capacity)
            tl.store(index_ptr + key, tl.where(is_kept, rank, 0), mask=is_present)
            tl.store(keys_ptr + rank, key.to(tl.int64), mask=is_kept)
        num_found += num_new
    num_kept = tl.minimum(num_found, capacity)
    if num_found > capacity:
        tl.atomic_add(num_dropped_ptr, (num_found - capacity).to(tl.int64), sem="relaxed")
    return num_kept

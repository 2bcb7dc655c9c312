"""Counts of the keys in a block of pixels: one atomic addition for each key that occurs."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def count_keys(keys, counts_ptr):
    """Add to `counts[key]` the number of pixels that have it; a negative key is not counted.

    Maps are made of regions, so a block of neighbours has few distinct keys.
    """
    key = tl.max(keys, 0)
    while key >= 0:
        is_key = keys == key
        number = tl.sum(is_key.to(tl.int32), 0)
        tl.atomic_add(counts_ptr + key, number.to(counts_ptr.dtype.element_ty), sem="relaxed")
        keys = tl.where(is_key, -1, keys)
        key = tl.max(keys, 0)

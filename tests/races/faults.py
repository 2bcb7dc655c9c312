"""Kernels with planted faults, and each without."""

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def store_kernel(out_ptr, OWN: tl.constexpr):
    """Each program stores its number; to a place of its own, or all to one."""
    tl.store(out_ptr + (tl.program_id(0) if OWN else 0), tl.program_id(0))


@triton.jit
def add_kernel(out_ptr, ATOMIC: tl.constexpr):
    """Each program adds 1; by an atomic, or by reading and writing."""
    if ATOMIC:
        tl.atomic_add(out_ptr, 1, sem="relaxed")
    else:
        tl.store(out_ptr, tl.load(out_ptr) + 1)


@triton.jit
def turn_kernel(out_ptr, BARRIER: tl.constexpr):
    """Store a row, then read it backwards; with a barrier between, or without."""
    lane = tl.arange(0, 32)
    tl.store(out_ptr + lane, lane)
    if BARRIER:
        tl.debug_barrier()
    turned = tl.load(out_ptr + 31 - lane)
    tl.store(out_ptr + 32 + lane, turned)


@triton.jit
def read_kernel(values_ptr, out_ptr, num_values, MASKED: tl.constexpr):
    """Read a block of values; masked at their end, or past it."""
    lane = tl.arange(0, 32)
    in_values = lane < num_values if MASKED else lane >= 0
    value = tl.load(values_ptr + lane, mask=in_values, other=0)
    tl.store(out_ptr + lane, value)


@triton.jit
def mark_kernel(out_ptr):
    """Each program stores the same."""
    tl.store(out_ptr, 1)


@triton.jit
def count_kernel(out_ptr, seen_ptr):
    """Each program adds by an atomic, and reads what others add."""
    tl.atomic_add(out_ptr, 1, sem="relaxed")
    tl.store(seen_ptr + tl.program_id(0), tl.load(out_ptr))


@triton.jit
def claim_kernel(out_ptr, place, ATOMIC: tl.constexpr):
    """Each program claims a place that is 0; by a compare-and-swap, or by reading and writing."""
    if ATOMIC:
        tl.atomic_cas(out_ptr + place, 0, tl.program_id(0) + 1, sem="relaxed")
    elif tl.load(out_ptr + place) == 0:
        tl.store(out_ptr + place, tl.program_id(0) + 1)


def numbers(size: int) -> torch.Tensor:
    """Zeros to write to."""
    return torch.zeros(size, dtype=torch.int32)

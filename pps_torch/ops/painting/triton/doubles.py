"""Float64 numbers as arguments of kernels, which take a Python float as float32."""

from __future__ import annotations

import struct

import triton
import triton.language as tl


def bits_of_double(number: float) -> int:
    """The bits of a float64, as the int64 that a kernel turns back with `double_of_bits`.

    Numbers that are equal have equal bits: -0.0 has those of 0.0.
    """
    return int(struct.unpack("<q", struct.pack("<d", number + 0.0))[0])


@triton.jit
def double_of_bits(bits):
    """The float64 whose bits an int64 argument holds, which compilers may make a constant."""
    return tl.full((), bits, tl.int64).to(tl.float64, bitcast=True)

"""Compiles Triton kernels for a GPU that need not be there; the interpreter lets much pass."""

from __future__ import annotations

from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

HOPPER = GPUTarget("cuda", 90, 32)


def compile_for_hopper(kernel: Any, **arguments: str | int | float | bool) -> Any:
    """Compiles a kernel to machine code for compute capability 9.0.

    Must run in a process without `TRITON_INTERPRET`, in which kernels are not compiled.

    Args:
        kernel: a `triton.jit` function.
        arguments: a Triton type for each argument (`"*i32"`, `"*u8"`, `"fp32"`, `"i32"`),
            or the value of a `tl.constexpr`.

    Returns:
        the compiled kernel; `asm["ptx"]` and `metadata.shared` tell what it needs.
    """
    constants = {name: value for name, value in arguments.items() if not isinstance(value, str)}
    signature = {name: "constexpr" if name in constants else arguments[name] for name in arguments}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    return triton.compile(source, target=HOPPER)

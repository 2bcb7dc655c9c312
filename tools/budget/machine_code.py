"""Registers, spills and instructions of a kernel, from its machine code."""

from __future__ import annotations

import math
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass

from budget.stub_driver import Variant

#: Names of the constants that say how many pixels, or rows of a table, a program has.
SIDES = (("BLOCK",), ("TILE",), ("ROWS", "COLUMNS"))

#: A line of the disassembly: perhaps an address and a predicate, then the instruction.
INSTRUCTION = re.compile(
    r"^\s+(/\*[0-9a-f]+\*/\s+)?(@!?U?P\w+\s+)?[A-Z][A-Z0-9_.]+\b.*;", re.MULTILINE
)

#: Instructions that read or write a thread's local memory.
LOCAL = re.compile(r"\b(LDL|STL)[.\s]")


@dataclass(frozen=True)
class MachineCode:
    """Of one variant for one target; a loop's instructions are counted once.

    Attributes:
        registers: of a thread.
        spills: loads and stores of a thread's local memory.
        instructions: of the whole kernel.
        a_pixel: instructions that a program's threads issue for each element of its block; None
            where its constants do not tell the block's size.
    """

    registers: int
    spills: int
    instructions: int
    a_pixel: float | None


def machine_code(variant: Variant, capability: int) -> MachineCode:
    """Compiles a variant as its launcher would, and reads the machine code."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(
        fn=variant.kernel,
        signature=variant.signature,
        constexprs=variant.constants,
        attrs=variant.attributes,
    )
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options={**variant.options.__dict__})
    with tempfile.NamedTemporaryFile(suffix=".cubin", delete=False) as file:
        file.write(compiled.asm["cubin"])
    try:
        usage = _run(triton, "cuobjdump", "--dump-resource-usage", file.name)
        sass = _run(triton, "nvdisasm", "-c", file.name)
    finally:
        os.unlink(file.name)
    registers = int(re.search(r"REG:(\d+)", usage)[1])
    instructions = len(INSTRUCTION.findall(sass))
    elements = _elements(variant)
    threads = 32 * variant.options.num_warps
    a_pixel = instructions * threads / elements if elements else None
    return MachineCode(registers, len(LOCAL.findall(sass)), instructions, a_pixel)


def _elements(variant: Variant) -> int | None:
    names = variant.kernel.arg_names
    constants = {names[path[0]]: value for path, value in variant.constants.items()}
    for sides in SIDES:
        if all(isinstance(constants.get(side), int) for side in sides):
            return math.prod(constants[side] for side in sides)
    return None


def _run(triton, tool: str, *arguments: str) -> str:
    path = getattr(triton.knobs.nvidia, tool).path
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=True).stdout

"""Which Triton kernels there are, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pps_torch


def launched_kernels() -> Iterator[tuple[str, ast.FunctionDef]]:
    """(module, definition) of each Triton kernel; what kernels call has names of other forms."""
    for path in sorted(Path(pps_torch.ops.__file__).parent.glob("*/triton/*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.endswith("_kernel"):
                yield path.stem, node

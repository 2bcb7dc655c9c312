"""Which Triton kernels there are, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pps_torch


def launched_kernels() -> Iterator[tuple[str, ast.FunctionDef]]:
    """(module, definition) of each Triton kernel that is started: `kernel[grid](...)`."""
    for path in sorted(Path(pps_torch.ops.__file__).parent.glob("*/triton/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        started = {
            node.func.value.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript)
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in started:
                yield path.stem, node

"""Loops in Cython, compiled when the package is installed, where a C++ compiler is at hand.

Each function is the twin of one in NumPy or Python, which defines it, and takes its place: those of
`runs` in `formats/runs.py`, that of `png_rows` in `io/png_rows.py`. They give the same, and let
other threads run meanwhile. Numbers do not depend on it.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def load_compiled(name: str) -> ModuleType | None:
    """The compiled module of a name; None where it is not built, or does not load."""
    try:
        return import_module(f"pps_torch.compiled.{name}")
    except ImportError:
        return None

"""Loops in Cython, built when the package is installed, where a C++ compiler is at hand.

`runs` is for `formats/runs.py`, `png_rows` for `io/png_rows.py`, which define in NumPy and Python
what they do, and whose tests run both. Where they are missing, NumPy finds the runs, Pillow decodes
PNGs of 8 bits, and the loop in Python those of 16. They let other threads run meanwhile.
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

"""Plain-text tables of the metrics' results."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal; ``n/a`` for nan."""
    return "n/a" if math.isnan(fraction) else f"{100 * fraction:.1f}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns: the first to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths))
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def without_nan(value: object) -> object:
    """A copy of nested dicts and lists with None for nan, which JSON cannot write."""
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value

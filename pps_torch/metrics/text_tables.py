"""Plain-text tables of the metrics' results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal; `n/a` for nan."""
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


def unknown_lines(num_gt: int, num_pred: int) -> list[str]:
    """What to say of pixels with unknown scene ids, where there are any."""
    kinds = (("ground-truth", num_gt), ("predicted", num_pred))
    return [f"{number} {kind} pixels have an unknown scene id" for kind, number in kinds if number]


def without_nan(values: Mapping[Any, Any]) -> dict[str, Any]:
    """A copy of nested dicts and lists with None for nan, which JSON cannot write."""
    return {str(key): _without_nan(value) for key, value in values.items()}


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return without_nan(value)
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def mean_of_present(values: Iterable[tuple[float, bool]]) -> tuple[float, int]:
    """Mean of the values that are present, its sum rounded once, and their number; nan for none."""
    present = [value for value, is_present in values if is_present]
    return (math.fsum(present) / len(present) if present else math.nan), len(present)

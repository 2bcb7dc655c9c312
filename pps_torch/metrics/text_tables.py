"""Plain-text tables of the metrics' results."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pps_torch.printing import printable


def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal; `n/a` for nan."""
    return "n/a" if math.isnan(fraction) else f"{100 * fraction:.1f}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns: the first to the left, the others to the right; no name breaks a line."""
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for row in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths))
        lines.append("  ".join([row[0].ljust(widths[0]), *others]).rstrip())
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def unknown_lines(num_gt: int, num_pred: int) -> list[str]:
    """A sentence for each map that has pixels with unknown scene ids, with their number."""
    kinds = (("ground-truth", num_gt), ("predicted", num_pred))
    return [f"{number} {kind} pixels have an unknown scene id" for kind, number in kinds if number]

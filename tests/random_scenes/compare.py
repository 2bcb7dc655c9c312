"""Comparison of found numbers with expected ones: integers exactly, floats within rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tests.oracles.panoptic_quality import average, qualities

#: Floats agree to this, sums of IoUs to this times the number of matches: what all tests ask for.
TOLERANCE = 1e-12


class Mismatch(Exception):
    """Two numbers or maps that should agree and do not."""


def expect(what: str, found: Iterable, expected: Iterable, scale: float = 1) -> None:
    """Raises Mismatch unless the numbers agree; nan agrees with nan."""
    found, expected = list(found), list(expected)
    if len(found) != len(expected) or not all(
        _agree(one, other, scale) for one, other in zip(found, expected)
    ):
        raise Mismatch(f"{what}: expected {expected}, found {found}")


def _agree(one, other, scale: float) -> bool:
    if isinstance(one, int):
        return one == other
    return (math.isnan(one) and math.isnan(other)) or abs(one - other) <= TOLERANCE * scale


def expect_counts(what: str, row: dict, keys: tuple[str, str, str], stats: list) -> None:
    """IoU sum, counts and the three qualities (`keys`) of a class against an oracle's stats."""
    iou, *counts = stats
    expect(f"{what} tp, fp, fn", (row["tp"], row["fp"], row["fn"]), counts)
    expect(f"{what} iou", [row["iou"]], [iou], max(1, counts[0]))
    expect(f"{what} qualities", (row[key] for key in keys), qualities(iou, *counts))


def expect_means(what: str, found: Iterable, stats: dict[int, list], members) -> None:
    """Three mean qualities and n against the oracle's mean over the members."""
    expect(f"{what} means", found, average(stats, list(members)))


def expect_true(what: str, is_so: bool) -> None:
    """Raises Mismatch unless it is so."""
    if not is_so:
        raise Mismatch(what)

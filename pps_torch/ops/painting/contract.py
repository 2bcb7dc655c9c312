"""Numbers that both versions of operations agree on."""

from __future__ import annotations

#: Infinity counts as this magnitude: sums, differences and means of two such numbers are finite.
INFINITE = 2.0**126

#: Probabilities are summed as integers in this unit, so that the order of pixels cannot matter.
PROBABILITY_UNIT = 1 << 30

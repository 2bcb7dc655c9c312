"""Rows, goals and growth points, and how they are written: benchmark.md and benchmark.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = (
    "what", "sizes", "median", "p20", "p80", "replayed", "floor", "x floor", "peer",
    "its median", "ratio", "goal", "reached",
)  # fmt: skip


class Difference(Exception):
    """Our output is not the peer's: nothing may be timed."""


class NotRun(Exception):
    """Something cannot run here, with the reason."""


@dataclass(frozen=True)
class Spread:
    """Median and the 20 and 80 per cent quantiles, in seconds or in the row's unit."""

    median: float
    p20: float
    p80: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of single measurements."""
        p20, median, p80 = np.percentile(values, (20, 50, 80)).tolist()
        return cls(median, p20, p80)


@dataclass(frozen=True)
class Goal:
    """What a row must reach; a part that is None is not asked.

    Attributes:
        at_least: the peer's median over ours, as a user calls us.
        floors, at_most: our median is at most `floors` times the floor plus `at_most`. With
            `floors` it is the one replayed from a CUDA graph, else that of the call.
    """

    at_least: float | None = None
    floors: float | None = None
    at_most: float | None = None


@dataclass
class Row:
    """One measurement.

    Attributes:
        ours: as a user calls it, from the call to the end of the work on the device.
        replayed: the same work replayed from a CUDA graph.
        floor: bytes that must be moved over the bandwidth of a copy.
        peer: what a user would otherwise call, or why it did not run.
        unit: `"s"` or `"MiB"`.
        note: why the row, or a part of it, was not run.
    """

    name: str
    sizes: str = ""
    ours: Spread | None = None
    replayed: Spread | None = None
    floor: float | None = None
    peer: str = ""
    theirs: Spread | None = None
    goal: Goal = field(default_factory=Goal)
    unit: str = "s"
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The peer's median over ours."""
        if self.ours is None or self.theirs is None:
            return None
        return self.theirs.median / self.ours.median

    def verdicts(self) -> list[tuple[str, bool | None]]:
        """Each part of the goal in words, and whether it is reached; None where not measured."""
        goal, found = self.goal, []
        if goal.at_least is not None:
            reached = None if self.ratio is None else self.ratio >= goal.at_least
            found.append((f"at least {show_multiple(goal.at_least)}", reached))
        if goal.floors is not None:
            limit = None if self.floor is None else goal.floors * self.floor + (goal.at_most or 0)
            plus = "" if goal.at_most is None else f" + {self.show(goal.at_most)}"
            text = f"at most {goal.floors:g}x the floor{plus}"
            found.append((text, _is_within(self.replayed, limit)))
        elif goal.at_most is not None:
            text = f"at most {self.show(goal.at_most)}"
            found.append((text, _is_within(self.ours, goal.at_most)))
        return found

    def show(self, value: float | None) -> str:
        """A value in the row's unit."""
        if value is None:
            return ""
        return f"{value:,.0f} MiB" if self.unit == "MiB" else show_seconds(value)

    def cells(self) -> list[str]:
        """The row of the Markdown table, in the order of COLUMNS."""
        name = self.name + (f" ({self.note})" if self.note else "")
        if self.ours is None:
            return [name, self.sizes, *["not run"] * 3, *[""] * 8]
        replayed = None if self.replayed is None else self.replayed.median
        times = [time for time in (self.ours.median, replayed) if time is not None]
        floors = [show_multiple(time / self.floor) for time in times] if self.floor else []
        against = ["", ""]
        if self.peer and self.theirs is None:
            against = ["not run", "not run"]
        elif self.theirs is not None:
            against = [self.show(self.theirs.median), show_multiple(self.ratio)]
        verdicts = self.verdicts()
        words = {True: "yes", False: "no", None: "not run"}
        return [
            name,
            self.sizes,
            *map(self.show, (self.ours.median, self.ours.p20, self.ours.p80)),
            self.show(replayed),
            self.show(self.floor),
            ", replayed ".join(floors),
            self.peer,
            *against,
            "; ".join(text for text, _ in verdicts),
            "; ".join(words[reached] for _, reached in verdicts),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        goals = [{"goal": text, "reached": reached} for text, reached in self.verdicts()]
        return {**asdict(self), "ratio": self.ratio, "goal": goals}


@dataclass
class GrowthPoint:
    """One operation at one size: `axis` is what grows, `value` how far."""

    axis: str
    value: str
    name: str
    ours: Spread | None = None
    replayed: Spread | None = None
    floor: float | None = None
    note: str = ""

    def cell(self) -> str:
        """Called, replayed, and the better of the two as a multiple of the floor."""
        if self.ours is None:
            return self.note
        times = [self.ours.median] + ([] if self.replayed is None else [self.replayed.median])
        multiple = "" if not self.floor else f" ({show_multiple(min(times) / self.floor)})"
        return " / ".join(map(show_seconds, times)) + multiple


@dataclass
class Report:
    """What was measured so far; written anew at each addition, so that nothing is lost."""

    folder: Path
    header: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    growth: list[GrowthPoint] = field(default_factory=list)

    def add(self, found: Iterable[Row | GrowthPoint]) -> None:
        """Add rows and points as they are measured."""
        for entry in found:
            (self.growth if isinstance(entry, GrowthPoint) else self.rows).append(entry)
            self.write()

    def write(self) -> None:
        """Write benchmark.md and benchmark.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "benchmark.md").write_text(self.markdown())
        content = {
            "header": self.header,
            "rows": [row.as_dict() for row in self.rows],
            "growth": [asdict(point) for point in self.growth],
        }
        (self.folder / "benchmark.json").write_text(json.dumps(content, indent=1))

    def markdown(self) -> str:
        """The header, the table of rows and one table for each axis of growth."""
        parts = ["\n".join(f"- {name}: {value}" for name, value in self.header.items())]
        if self.rows:
            parts.append(_markdown_table(COLUMNS, [row.cells() for row in self.rows]))
        for axis in dict.fromkeys(point.axis for point in self.growth):
            points = [point for point in self.growth if point.axis == axis]
            values = list(dict.fromkeys(point.value for point in points))
            cells = {(point.name, point.value): point.cell() for point in points}
            names = dict.fromkeys(point.name for point in points)
            lines = [[name, *(cells.get((name, value), "") for value in values)] for name in names]
            parts.append(
                f"Growth with {axis}: called / replayed (the better one as a multiple of the floor)"
            )
            parts.append(_markdown_table((axis, *values), lines))
        return "\n\n".join(parts) + "\n"


@dataclass(frozen=True)
class Measurement:
    """A few rows that are measured together; `obstacle` says why they cannot be here."""

    name: str
    run: Callable[[], Iterable[Row | GrowthPoint]]
    obstacle: str = ""


def show_seconds(seconds: float) -> str:
    """Seconds in a fitting unit with three digits."""
    if abs(seconds) < 1e-3:
        return f"{1e6 * seconds:.3g} us"
    return f"{1e3 * seconds:.3g} ms" if abs(seconds) < 1 else f"{seconds:.3g} s"


def show_multiple(value: float) -> str:
    """A ratio with three digits, or all of those before the point."""
    return f"{value:,.0f}x" if value >= 100 else f"{value:.3g}x"


def _is_within(spread: Spread | None, limit: float | None) -> bool | None:
    return None if spread is None or limit is None else spread.median <= limit


def _markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

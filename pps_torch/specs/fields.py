"""The fields of one spec file: each value checked as it is read, each error naming file and key."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pps_torch.reserved import ABSENT

IGNORED = "IGNORED"  # as a target: this id is not evaluated
DEFAULT = "DEFAULT"  # as a key: every id without a key of its own
MAX_ID = 9999  # far above any real class list; keeps a mistyped id from asking for a huge table

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SpecError(ValueError):
    """An error in a spec file: it is missing, unreadable or contradicts itself.

    The text names the file, the key, what was expected and what was found.
    """


@dataclass(frozen=True)
class Fields:
    """The top-level fields of a spec.

    Ids may be ints or their decimal text, as both readers of YAML 1.1 (`24_01` is the number 2401)
    and of YAML 1.2 (`24_01` is text) hand them over.

    Args:
        values: field name -> value, as read from YAML.
        source: the file, for the errors.
    """

    values: Mapping[str, Any]
    source: str

    def __post_init__(self) -> None:
        """Refuse anything but a mapping."""
        if not isinstance(self.values, Mapping):
            raise SpecError(
                f"{self.source}: expected a mapping of field names to values, "
                f"found {reprlib.repr(self.values)}"
            )

    def error(self, where: str, expected: str, found: str) -> SpecError:
        """Make the error to raise for the value at `where`, a key such as `eval_sid_things`."""
        return SpecError(f"{self.source}: {where}: expected {expected}, found {found}")

    def require(self, key: str) -> Any:
        """Return the value of a field that must be there."""
        if key not in self.values:
            present = ", ".join(map(str, self.values)) or "none"
            raise self.error(key, "this key", f"only the keys {present}")
        return self.values[key]

    def mapping(self, key: str) -> Mapping[Any, Any]:
        """Return the value of a field that must be a mapping."""
        value = self.require(key)
        if not isinstance(value, Mapping):
            raise self.error(key, "a mapping", reprlib.repr(value))
        return value

    def sequence(self, where: str, value: Any) -> list[Any]:
        """Read `value` as a list."""
        if not isinstance(value, (list, tuple)):
            raise self.error(where, "a list", reprlib.repr(value))
        return list(value)

    def name(self, where: str, value: Any) -> str:
        """Read `value` as a name; numbers are names too."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
            raise self.error(where, "a name", reprlib.repr(value))
        return str(value)

    def number(self, where: str, value: Any, low: int = 1, high: int = MAX_ID) -> int:
        """Read `value` as an integer within `low..high`."""
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(where, f"an integer from {low} to {high}", reprlib.repr(value))
        return value

    def any_sid(self, where: str, value: Any) -> int:
        """Read `value` as a scene class id, which may lie outside the dataset if it is ignored."""
        return self.number(where, value, low=-1)

    def sid(self, where: str, value: Any) -> int:
        """Read `value` as a scene class id."""
        return self.number(where, value)

    def flat_id(self, where: str, value: Any) -> int:
        """Read `value` as a flat part id; 0 is the background, which only has a name."""
        return self.number(where, value, low=0)

    def sid_pid(self, where: str, value: Any) -> tuple[int, int]:
        """Read `S_PP` or `sid * 100 + pid` as `(sid, pid)`; below 100 a sid alone, with pid -1."""
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}_[0-9]{2}", value):
            sid, pid = map(int, value.split("_"))
            return self.sid(where, sid), pid
        if isinstance(value, str) and "_" in value:
            raise self.error(where, "a part written S_PP, such as 24_01", reprlib.repr(value))
        sid_pid = self.number(where, value, low=-1, high=MAX_ID * 100 + 99)
        return divmod(sid_pid, 100) if sid_pid >= 100 else (sid_pid, ABSENT)

    def part(self, where: str, value: Any) -> tuple[int, int]:
        """Read `value` as the `(sid, pid)` of a part, pid 1 to 99."""
        sid, pid = self.sid_pid(where, value)
        if pid < 1:
            raise self.error(where, "a part S_PP with PP from 01 to 99", reprlib.repr(value))
        return sid, pid

    def table(
        self, key: str, read_key: Callable[[str, Any], K], read_value: Callable[[str, Any], V]
    ) -> dict[K, V]:
        """Read a field that maps ids, in the file's order; refuse an id given twice."""
        table: dict[K, V] = {}
        for raw_key, raw_value in self.mapping(key).items():
            where = f"{key}[{raw_key}]"
            entry = read_key(where, raw_key)
            if entry in table:
                raise self.error(where, "each id once", f"a second entry for {raw_key}")
            table[entry] = read_value(where, raw_value)
        return table

    def targets(
        self, key: str, read_key: Callable[[str, Any], K], read_target: Callable[[str, Any], V]
    ) -> dict[K, V | None]:
        """Read a table whose targets may be `IGNORED`, as None; leave `DEFAULT: IGNORED` out."""

        def read_key_or_default(where: str, raw: Any) -> K | str:
            return DEFAULT if raw == DEFAULT else read_key(where, raw)

        def read_target_or_ignored(where: str, raw: Any) -> V | None:
            return None if raw == IGNORED else read_target(where, raw)

        table: dict[Any, V | None] = self.table(key, read_key_or_default, read_target_or_ignored)
        if table.pop(DEFAULT, None) is not None:
            found = reprlib.repr(self.mapping(key)[DEFAULT])
            raise self.error(f"{key}[{DEFAULT}]", IGNORED, found)
        return table

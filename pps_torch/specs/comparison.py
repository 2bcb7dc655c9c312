"""Equality of specs: all that they say is equal, and in the same order."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


class ComparedInOrder:
    """A dataclass with a `name`, equal to another one of its kind with equal fields.

    The order of a mapping counts, as that of the names is the order of the classes. Fields made
    with `compare=False` do not count.
    """

    name: str

    def __eq__(self, other: object) -> bool:
        """Compare the fields, their order included."""
        if type(other) is not type(self):
            return NotImplemented
        return self is other or _values(self) == _values(other)

    def __hash__(self) -> int:
        """Hash the name; specs of one name are told apart by comparison."""
        return hash(self.name)


def _values(spec: Any) -> list[Any]:
    values = [getattr(spec, field.name) for field in fields(spec) if field.compare]
    return [list(value.items()) if isinstance(value, dict) else value for value in values]

"""Names of a room that are imported when they are first asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    room: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the `__getattr__` and the `__dir__` of a room that offers names of its modules.

    Args:
        room: its `__name__`.
        modules: the module of each name, below the room.
    """

    def import_name(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{room}.{modules[name]}"), name)
        setattr(sys.modules[room], name, value)
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[room]), *modules})

    return import_name, list_names

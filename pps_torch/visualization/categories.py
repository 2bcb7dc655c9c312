"""The categories that a picture shows: their colours and names."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from pps_torch.formats.categories import Categories, checked_categories


def colored_categories(categories: Categories) -> list[dict[str, Any]]:
    """Copy categories, with `id` and `isthing` as ints, and `color` as a tuple or None.

    Raises:
        TypeError, ValueError: as `checked_categories`; for a wrong `color`, naming the category.
    """
    checked = checked_categories(categories)
    return [
        {**category, "color": _checked_color(place, category.get("color"))}
        for place, category in enumerate(checked)
    ]


def category_name(categories: list[dict[str, Any]], place: int) -> str:
    """The name of a category.

    Raises:
        ValueError: for a category without a name.
    """
    name = categories[place].get("name")
    if not isinstance(name, str):
        raise ValueError(f"categories[{place}]: name: expected text, found {name!r}")
    return name


def _checked_color(place: int, color: Any) -> tuple[int, ...] | None:
    if color is None:
        return None
    channels = tuple(color) if isinstance(color, Iterable) else ()
    if len(channels) != 3 or not all(_is_byte(channel) for channel in channels):
        raise ValueError(f"categories[{place}]: color: expected three ints 0..255, found {color!r}")
    return tuple(map(int, channels))


def _is_byte(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and 0 <= int(value) <= 255

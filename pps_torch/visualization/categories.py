"""The categories that a picture shows: COCO dicts, or the classes of an evaluation spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeGuard

from pps_torch.specs import EvalSpec

#: What functions take: COCO category dicts with `id` and `isthing`, or a spec.
Categories = Sequence[Mapping[str, Any]] | EvalSpec


def checked_categories(categories: Categories) -> list[dict[str, Any]]:
    """Copy categories, with `id` and `isthing` as ints, and `color` as a tuple or None.

    Raises:
        TypeError: for anything but a list of dicts or an `EvalSpec`.
        ValueError: for an `id`, `isthing` or `color` that is missing or wrong, or an id given
            twice, naming the category.
    """
    if isinstance(categories, EvalSpec):
        categories = categories.categories
    if not isinstance(categories, Sequence):
        raise _type_error(categories)
    checked = [_checked(place, category) for place, category in enumerate(categories)]
    seen: set[int] = set()
    for category in checked:
        if category["id"] in seen:
            raise ValueError(f"categories: expected each id once, found {category['id']} again")
        seen.add(category["id"])
    return checked


def category_name(categories: list[dict[str, Any]], place: int) -> str:
    """The name of a category.

    Raises:
        ValueError: for a category without a name.
    """
    name = categories[place].get("name")
    if not isinstance(name, str):
        raise ValueError(f"categories[{place}]: name: expected text, found {name!r}")
    return name


def _checked(place: int, category: Any) -> dict[str, Any]:
    if not isinstance(category, Mapping):
        raise _type_error(category)
    category_id, is_thing, color = (category.get(key) for key in ("id", "isthing", "color"))
    if not _is_int(category_id) or not 0 <= category_id < 1 << 63:
        raise _value_error(place, "id", "an int from 0 to 2**63 - 1", category_id)
    if is_thing not in (0, 1):
        raise _value_error(place, "isthing", "0 or 1", is_thing)
    if color is not None:
        channels = tuple(color) if isinstance(color, Iterable) else ()
        if len(channels) != 3 or not all(_is_int(c) and 0 <= c <= 255 for c in channels):
            raise _value_error(place, "color", "three ints 0..255", color)
        color = tuple(map(int, channels))
    return {**category, "id": int(category_id), "isthing": int(is_thing), "color": color}


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _type_error(found: object) -> TypeError:
    return TypeError(
        "categories: expected an EvalSpec or a list of dicts with id and isthing, "
        f"found {type(found).__name__}"
    )


def _value_error(place: int, key: str, expected: str, found: object) -> ValueError:
    return ValueError(f"categories[{place}]: {key}: expected {expected}, found {found!r}")

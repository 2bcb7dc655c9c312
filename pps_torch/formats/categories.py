"""The categories of maps, metrics and pictures: COCO category dicts, or the classes of a spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pps_torch.checks import check_int
from pps_torch.specs import EvalSpec

#: What functions take: COCO category dicts with `id`, `isthing` and perhaps `name`, or a spec.
Categories = Sequence[Mapping[str, Any]] | EvalSpec

_HIGHEST_ID = (1 << 63) - 1


def checked_categories(
    categories: Categories,
    *,
    keys: Sequence[str] = ("id", "isthing"),
    highest_id: int = _HIGHEST_ID,
) -> list[dict[str, Any]]:
    """Copy categories, with `id` and `isthing` as int.

    Args:
        categories: dicts, or a spec.
        keys: what each has.
        highest_id: ids are 0 to this.

    Raises:
        TypeError: for anything but a list of dicts or an `EvalSpec`, and an id that is no integer.
        ValueError: for a key that is missing, an id out of range or given twice, or an `isthing`
            other than 0 and 1.
    """
    if isinstance(categories, EvalSpec):
        categories = categories.categories
    if not isinstance(categories, Iterable) or isinstance(categories, (str, Mapping)):
        raise _type_error(keys, categories)
    checked: dict[int, dict[str, Any]] = {}
    for place, category in enumerate(categories):
        if not isinstance(category, Mapping):
            raise _type_error(keys, category)
        for key in keys:
            if key not in category:
                expected, found = ", ".join(keys), ", ".join(map(str, category)) or "none"
                text = f"expected the keys {expected}, found {found}"
                raise ValueError(f"categories[{place}]: {text}")
        category_id, is_thing = category["id"], category["isthing"]
        name = f"categories[{place}]: id"
        check_int(name, category_id, 0)
        if category_id > highest_id:
            raise ValueError(f"{name}: expected at most {highest_id}, found {category_id}")
        if category_id in checked:
            raise ValueError(f"{name}: expected each id once, found {category_id} again")
        if is_thing not in (0, 1):
            raise ValueError(f"categories[{place}]: isthing: expected 0 or 1, found {is_thing!r}")
        checked[int(category_id)] = {**category, "id": int(category_id), "isthing": int(is_thing)}
    return [*checked.values()]


def named_categories(
    categories: Categories, *, highest_id: int = _HIGHEST_ID
) -> list[dict[str, Any]]:
    """Copy the categories of a metric or a file, as `checked_categories` does.

    Raises:
        TypeError, ValueError: likewise; for a category without `name`, and if there is none at all.
    """
    checked = checked_categories(categories, keys=("id", "name", "isthing"), highest_id=highest_id)
    if not checked:
        raise ValueError("categories: expected at least one, found none")
    return checked


def _type_error(keys: Sequence[str], found: object) -> TypeError:
    return TypeError(
        f"categories: expected an EvalSpec or a list of dicts with {', '.join(keys)}, "
        f"found {type(found).__name__}"
    )

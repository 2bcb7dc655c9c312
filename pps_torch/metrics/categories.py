"""The classes of a panoptic metric: COCO category dicts, or those of an evaluation spec."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from pps_torch.printing import first_of
from pps_torch.specs import EvalSpec

_MOST_NAMED = 10  # ids in an error


def checked_categories(categories: Sequence[Mapping[str, Any]] | EvalSpec) -> list[dict[str, Any]]:
    """Check the category dicts and copy them, with `id` and `isthing` as int, each id once.

    Raises:
        TypeError: if it is not a list of dicts; for an id that is not an integer.
        ValueError: for no category at all, one without `id`, `name` and `isthing`, an `isthing`
            that is not 0 or 1, a negative id or one twice.
    """
    if isinstance(categories, EvalSpec):
        categories = categories.categories
    if isinstance(categories, (str, Mapping)):
        raise _not_a_list_of_dicts(categories)
    checked = []
    for category in categories:
        if not isinstance(category, Mapping):
            raise _not_a_list_of_dicts(category)
        if {"id", "name", "isthing"} - set(category):
            raise ValueError(f"categories: expected keys id, name, isthing in {dict(category)}")
        if category["isthing"] not in (0, 1):
            raise ValueError(f"categories: expected isthing 0 or 1 in {dict(category)}")
        try:
            category_id = operator.index(category["id"])
        except TypeError as error:
            raise TypeError(f"categories: expected an integer id in {dict(category)}") from error
        checked.append({**category, "id": category_id, "isthing": int(category["isthing"])})
    ids = [category["id"] for category in checked]
    if not ids:
        raise ValueError("categories: expected at least one, found none")
    if len(set(ids)) != len(ids) or min(ids) < 0:
        raise ValueError(f"categories: expected each id once, and none negative, found {ids}")
    return checked


def question_about_ids(known: Sequence[int], *found: Tensor) -> str:
    """What an error of unknown categories says at its end.

    Args:
        known: the ids of the categories.
        found: ids of the batch, as far as they can be seen; negative ones are none.
    """
    unknown = {number for ids in found for number in ids.unique().tolist() if number >= 0} - {
        *known
    }
    found_text = f" ({first_of(sorted(unknown), _MOST_NAMED)})" if unknown else ""
    return (
        f"{found_text}; the categories have the ids {first_of(known, _MOST_NAMED)}; are these "
        "class indices? category_ids= of the merges makes category ids of them"
    )


def _not_a_list_of_dicts(found: object) -> TypeError:
    return TypeError(
        "categories: expected an EvalSpec or a list of dicts with id, name and isthing, "
        f"found {found!r}"
    )

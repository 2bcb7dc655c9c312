"""The classes of a panoptic metric: COCO category dicts, or those of an evaluation spec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pps_torch.specs import EvalSpec

#: The groups of classes that have a mean, by the values of ``isthing`` in them.
GROUPS = {"All": (0, 1), "Things": (1,), "Stuff": (0,)}


def checked_categories(categories: Sequence[Mapping[str, Any]] | EvalSpec) -> list[dict[str, Any]]:
    """Category dicts with ``id``, ``name`` and ``isthing``, each id once.

    Raises:
        ValueError: for a category without those keys, a negative id or one twice.
    """
    if isinstance(categories, EvalSpec):
        categories = categories.categories
    for category in categories:
        if {"id", "name", "isthing"} - set(category):
            raise ValueError(f"categories: expected keys id, name, isthing in {dict(category)}")
        if category["isthing"] not in (0, 1):
            raise ValueError(f"categories: expected isthing 0 or 1 in {dict(category)}")
    ids = [int(category["id"]) for category in categories]
    if len(set(ids)) != len(ids) or min(ids, default=0) < 0:
        raise ValueError(f"categories: expected each id once, and none negative, got {ids}")
    return [dict(category) for category in categories]

"""Lists of segments as dicts, as COCO, Detectron2 and Hugging Face have them: what they say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from typing import Any

import torch

from pps_torch.formats.categories import Categories, checked_categories
from pps_torch.formats.unknown_categories import question_about_ids

_LARGEST = torch.iinfo(torch.int64).max

#: What `iscrowd` and `isthing` may be.
_FLAGS = (None, 0, 1)


def thing_of(info: Mapping[str, Any], thing_ids: Collection[int]) -> bool:
    """Whether a segment is a thing: as its `isthing` says, else by its category."""
    is_thing = info.get("isthing")
    return info["category_id"] in thing_ids if is_thing is None else bool(is_thing)


def check_known(
    segments_info: Sequence[Mapping[str, Any]], categories: Categories
) -> list[dict[str, Any]]:
    """Check that each segment has one of the categories, and return these, checked as well.

    Raises:
        TypeError, ValueError: for wrong categories, and segments of others, whose ids it names.
    """
    checked = checked_categories(categories)
    known = [category["id"] for category in checked]
    found = [int(info["category_id"]) for info in segments_info]
    if not {*found} <= {*known}:
        raise ValueError(
            "segments_info: expected category ids of categories, found unknown ones"
            + question_about_ids(known, torch.tensor(found, device="cpu"))
        )
    return checked


def score_of(row: int, info: Mapping[str, Any]) -> float:
    """The score of a segment, 0 without one; raise TypeError where it is no number."""
    score = info.get("score")
    try:
        return 0.0 if score is None else float(score)
    except (TypeError, ValueError):
        raise TypeError(
            f"segments_info[{row}]: score: expected a number, found {score!r}"
        ) from None


def with_category_ids(segments_info: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Check the dicts of a list; where one has a `label_id` alone, that is its `category_id`."""
    _check_list(segments_info)
    named = [
        {**info, "category_id": info["label_id"]}
        if "label_id" in info and "category_id" not in info
        else info
        for info in segments_info
    ]
    _check_infos(named)
    return named


def _check_list(segments_info: Sequence[Mapping[str, Any]]) -> None:
    if not isinstance(segments_info, Sequence):
        raise TypeError(
            f"segments_info: expected a list of dicts, found {type(segments_info).__name__}"
        )
    for index, info in enumerate(segments_info):
        if type(info) is not dict and not isinstance(info, Mapping):  # which takes its time
            raise TypeError(f"segments_info[{index}]: expected a dict, found {type(info).__name__}")


def _check_infos(segments_info: Sequence[Mapping[str, Any]]) -> None:
    for index, info in enumerate(segments_info):
        for key in ("id", "category_id"):
            value: Any = info.get(key)
            is_int = type(value) is int or (  # most are, and to ask for Integral takes its time
                isinstance(value, Integral) and not isinstance(value, bool)
            )
            if not (is_int and 0 <= value <= _LARGEST):
                raise ValueError(
                    f"segments_info[{index}]: {key}: expected an int from 0 to 2**63 - 1, "
                    f"found {value!r}"
                )
    check_flags(segments_info)


def check_flags(segments_info: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError for an `iscrowd` or `isthing` that is none."""
    for index, info in enumerate(segments_info):
        if info.get("iscrowd") in _FLAGS and info.get("isthing") in _FLAGS:
            continue
        key = "iscrowd" if info.get("iscrowd") not in _FLAGS else "isthing"
        raise ValueError(f"segments_info[{index}]: {key}: expected 0 or 1, found {info[key]!r}")

"""The entries of a COCO panoptic JSON: each checked as it is read, and brought into one form."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from pps_torch.io.category_colors import read_color
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.file_names import can_name_a_file, stays_inside, with_slashes
from pps_torch.io.image_list import normalise_id
from pps_torch.io.json_files import as_int, describe, found_in, is_finite, is_text, positive_int
from pps_torch.printing import first_of

_LARGEST_ID = 256**3 - 1
_LARGEST_CATEGORY_ID = 2**31 - 1


class AnnotationReader:
    """Reads the annotations of a panoptic JSON.

    Args:
        path: the JSON, for messages.
        folder: where its PNGs are.
        is_prediction: whether a segment may have the id 0.
    """

    def __init__(self, path: Path, folder: Path, is_prediction: bool) -> None:
        self._path = path
        self._folder = folder
        self._least_id = 0 if is_prediction else 1

    def read(self, index: int, entry: Any) -> tuple[str, Path, list[dict[str, Any]], str]:
        """Read an annotation; its segments are brought into form in place.

        Returns:
            The normalised image id, the path of the PNG, the segments, and the JSON file and
            image for messages.

        Raises:
            InputError: names the file, the annotation or image, the key and what was found.
        """
        where = f"{self._path}: annotation {index}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: expected an object, found {describe(entry)}")
        if "image_id" not in entry:
            raise InputError(f"{where}: image_id: expected an id, found none")
        for key, kind, expected in (
            ("file_name", str, "the name of a PNG"),
            ("segments_info", list, "a list of segments"),
        ):
            if not isinstance(entry.get(key), kind):
                raise InputError(f"{where}: {key}: expected {expected}, {found_in(entry, key)}")
        try:
            image_id = normalise_id(entry["image_id"])
        except ValueError as error:
            raise InputError(f"{where}: image_id: {error}") from error
        where = f"{self._path}: image {image_id}"
        self.check_segments(where, entry["segments_info"])
        name = with_slashes(entry["file_name"])
        if not can_name_a_file(name):
            raise InputError(f"{where}: file_name: expected the name of a file, found {name!r}")
        png = self._folder / name
        if ("/" in name or name == "..") and not stays_inside(png, self._folder):
            expected = f"a file inside {self._folder}"
            raise InputError(f"{where}: file_name: expected {expected}, found {png}")
        return image_id, png, entry["segments_info"], where

    def check_segments(self, where: str, segments_info: list) -> None:
        """Check the segments of an image; a large file has a million, most of them as usual."""
        least_id, seen = self._least_id, set()
        for segment in segments_info:
            if not isinstance(segment, dict):
                found = describe(segment)
                raise InputError(f"{where}: segments_info: expected objects, found {found}")
            segment_id, category_id = segment.get("id"), segment.get("category_id")
            score = segment.get("score", 0.0)
            is_usual = (
                type(segment_id) is int
                and least_id <= segment_id <= _LARGEST_ID
                and type(category_id) is int
                and 0 <= category_id <= _LARGEST_CATEGORY_ID
                and segment.get("iscrowd", 0) in (0, 1)
                and type(score) is float
                and math.isfinite(score)
            )
            if not is_usual:
                self._check_segment(where, segment)
                segment_id = segment["id"]
            if segment_id in seen:
                raise InputError(
                    f"{where}: segment {segment_id}: expected each id once, found it twice"
                )
            seen.add(segment_id)

    def _check_segment(self, where: str, segment: dict[str, Any]) -> None:
        for key in ("id", "category_id"):
            number = as_int(segment.get(key))
            if number is None:
                found = found_in(segment, key)
                raise InputError(f"{where}: segments_info: {key}: expected an integer, {found}")
            segment[key] = number
        segment_id = segment["id"]
        if not self._least_id <= segment_id <= _LARGEST_ID:
            why = ", as 0 is void" if segment_id == 0 else ""
            expected = f"an id {self._least_id}..{_LARGEST_ID}{why}"
            raise InputError(f"{where}: segment {segment_id}: expected {expected}")
        where = f"{where}: segment {segment_id}"
        _check_category_id(f"{where}: category_id", segment["category_id"])
        if segment.get("iscrowd", 0) not in (0, 1, None):
            found = describe(segment["iscrowd"])
            raise InputError(f"{where}: iscrowd: expected 0 or 1, found {found}")
        score = segment.get("score")
        if score is not None and not is_finite(score):
            raise InputError(f"{where}: score: expected a number or null, found {describe(score)}")


def read_categories(path: Path, content: dict) -> list[dict[str, Any]]:
    """Read the categories of a COCO JSON; an empty list where there are none.

    A `color` becomes `[r, g, b]`, or is left out with a warning.

    Raises:
        InputError: names the file, the category, the key and what was found.
    """
    categories = content.get("categories", [])
    if not isinstance(categories, list):
        raise InputError(f"{path}: categories: expected a list, found {describe(categories)}")
    read, seen = [], set()
    no_colors = []
    for index, entry in enumerate(categories):
        where = f"{path}: categories[{index}]"
        category = _read_category(where, entry)
        if category["id"] in seen:
            raise InputError(f"{where}: id: expected each id once, found {category['id']} twice")
        seen.add(category["id"])
        if category.get("color") is not None:
            color = read_color(category.pop("color"))
            if color is None:
                no_colors.append(f"{category['name']} ({describe(entry['color'])})")
            else:
                category["color"] = list(color)
        read.append(category)
    if no_colors:
        warnings.warn(
            f"{path}: categories: color: expected [r, g, b] in 0..255, '#rrggbb' or fractions, "
            f"left out that of {first_of(no_colors, most=5)}",
            stacklevel=2,
        )
    return read


def image_ids(path: Path, content: dict) -> list[str]:
    """Read the normalised ids of the `images`; InputError for one without an id."""
    ids = []
    for index, entry in enumerate(content.get("images", [])):
        where = f"{path}: images[{index}]"
        if not isinstance(entry, dict) or "id" not in entry:
            raise InputError(f"{where}: expected an object with an id, found {describe(entry)}")
        with input_errors_at(f"{where}: id"):
            ids.append(normalise_id(entry["id"]))
    return ids


def read_sizes(path: Path, content: dict) -> dict[str, tuple[int, int]]:
    """Read (height, width) of the images by id, as far as the file has them.

    Predictions need not have any.

    Raises:
        InputError: names the file, the image, the key and what was found.
    """
    entries = content.get("images", [])
    if not isinstance(entries, list):
        raise InputError(f"{path}: images: expected a list, found {describe(entries)}")
    sizes: dict[str, tuple[int, int]] = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"id", "height", "width"} <= entry.keys():
            continue
        height, width = entry["height"], entry["width"]
        if not (type(height) is int and type(width) is int and height > 0 and width > 0):
            height, width = _read_size(f"{path}: images[{index}]", entry)
        try:
            image_id = normalise_id(entry["id"])
        except ValueError as error:
            raise InputError(f"{path}: images[{index}]: id: {error}") from error
        if (other := sizes.setdefault(image_id, (height, width))) != (height, width):
            raise InputError(
                f"{path}: images[{index}]: expected one height and width of image {image_id}, "
                f"found {other[0]} x {other[1]} before, and {height} x {width}"
            )
    return sizes


def _read_size(where: str, entry: dict[str, Any]) -> tuple[int, int]:
    with input_errors_at(where):
        height, width = (positive_int(entry, key) for key in ("height", "width"))
    return height, width


def _read_category(where: str, entry: Any) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object, found {describe(entry)}")
    category = dict(entry)
    category_id = as_int(entry.get("id"))
    if category_id is None:
        raise InputError(f"{where}: id: expected an integer, {found_in(entry, 'id')}")
    _check_category_id(f"{where}: id", category_id)
    if not is_text(entry.get("name")):
        raise InputError(f"{where}: name: expected a text, {found_in(entry, 'name')}")
    if "isthing" not in entry or entry["isthing"] not in (0, 1):
        found = found_in(entry, "isthing")
        raise InputError(f"{where} ({entry['name']}): isthing: expected 0 or 1, {found}")
    category.update(id=category_id, isthing=entry["isthing"])
    return category


def _check_category_id(where: str, category_id: int) -> None:
    if not 0 <= category_id <= _LARGEST_CATEGORY_ID:
        found = describe(category_id)
        raise InputError(f"{where}: expected an id 0..{_LARGEST_CATEGORY_ID}, found {found}")

"""COCO panoptic files: one JSON, and for each image a PNG whose RGB values are segment ids."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pps_torch.formats.rgb_ids import pack_rgb
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.file_names import can_name_a_file, check_folder, stays_inside
from pps_torch.io.image_list import normalise_id
from pps_torch.io.json_files import describe, is_finite, load_json

_LARGEST_ID = 256**3 - 1
_NUMBER_OF_GROUPS = re.compile("[0-9]+(_[0-9]+)+")
_LARGEST_CATEGORY_ID = 2**31 - 1


@dataclass(frozen=True)
class PanopticAnnotation:
    """The segments of one image.

    Attributes:
        image_id: the id of the image, normalised.
        png: the file of segment ids.
        segments_info: dicts with at least `id` and `category_id`, in the order of the file.
        where: the JSON file and the image, for messages.
    """

    image_id: str
    png: Path
    segments_info: list[dict[str, Any]]
    where: str

    def check_categories(self, known: Collection[int], source: str) -> None:
        """Raise InputError for a segment whose category is not one of the known ones.

        Args:
            known: category ids.
            source: the file or spec that they are from, for the message.
        """
        for segment in self.segments_info:
            if segment["category_id"] not in known:
                raise InputError(
                    f"{self.where}: segment {segment['id']}: category_id: expected a category of "
                    f"{source}, found {segment['category_id']}"
                )


@dataclass(frozen=True)
class PanopticFile:
    """A COCO panoptic JSON.

    Attributes:
        path: the file.
        annotations: by normalised image id.
        categories: category dicts, an empty list where the file has none.
        sizes: (height, width) by image id, for images whose entry says so.
    """

    path: Path
    annotations: dict[str, PanopticAnnotation]
    categories: list[dict[str, Any]]
    sizes: dict[str, tuple[int, int]]

    @classmethod
    def load(cls, path: Path | str, folder: Path | str | None = None) -> PanopticFile:
        """Read the JSON; the PNGs are not opened.

        Args:
            path: the JSON.
            folder: where its PNGs are; default: the path without .json.

        Raises:
            InputError: names the file, the annotation or image, the key and what was found.
        """
        path = Path(path)
        folder = path.with_suffix("") if folder is None else Path(folder)
        content = load_json(path, dict)
        if "annotations" not in content:
            raise InputError(
                f"{path}: expected the key annotations (a COCO panoptic file), "
                f"found {sorted(content)[:5]}"
            )
        if not isinstance(content["annotations"], list):
            found = describe(content["annotations"])
            raise InputError(f"{path}: annotations: expected a list, found {found}")
        check_folder(folder, f"the folder with the PNGs of {path}")
        annotations: dict[str, PanopticAnnotation] = {}
        for index, entry in enumerate(content["annotations"]):
            annotation = _read_annotation(path, folder, index, entry)
            if annotation.image_id in annotations:
                raise InputError(f"{path}: expected image {annotation.image_id} once, found twice")
            annotations[annotation.image_id] = annotation
        categories, sizes = _read_categories(path, content), _read_sizes(path, content)
        return cls(path, annotations, categories, sizes)

    def find_annotations(
        self, image_ids: Iterable[str], wanted_by: Path
    ) -> dict[str, PanopticAnnotation]:
        """Find the annotation of each image.

        Args:
            image_ids: normalised ids.
            wanted_by: the file that names the images, for messages.

        Raises:
            InputError: names the images that have none, or two images that would share one.
        """
        found, missing = {}, []
        owners: dict[str, str] = {}
        for image_id in image_ids:
            annotation = self.annotations.get(image_id) or self._find_number(image_id)
            if annotation is None:
                missing.append(image_id)
                continue
            other = owners.setdefault(annotation.image_id, image_id)
            if other != image_id:
                raise InputError(
                    f"{annotation.where}: expected the annotation of one image of {wanted_by}, "
                    f"found that it would be taken for {other} and for {image_id}"
                )
            found[image_id] = annotation
        if missing:
            more = f" and {len(missing) - 20} more" if len(missing) > 20 else ""
            raise InputError(
                f"{self.path}: expected an annotation for each image of {wanted_by}, found "
                f"none for {len(missing)}: {', '.join(missing[:20])}{more}"
            )
        return found

    def renamed_categories(self, names: Mapping[int, str]) -> dict[int, str]:
        """The categories of the file that have another name than the same id elsewhere.

        Upper and lower case and spaces do not matter. An id that only one side has is no
        contradiction; segments of unknown categories are refused elsewhere.

        Args:
            names: the names elsewhere, by category id.

        Returns:
            The names in this file, by category id.
        """
        return {
            category["id"]: category["name"]
            for category in self.categories
            if category["id"] in names and _plain(category["name"]) != _plain(names[category["id"]])
        }

    def _find_number(self, image_id: str) -> PanopticAnnotation | None:
        """The annotation whose id is the number that Python reads in an id like 2008_000123.

        panopticapi writes such an id as the number 2008000123.
        """
        if not _NUMBER_OF_GROUPS.fullmatch(image_id):
            return None
        return self.annotations.get(normalise_id(image_id.replace("_", "")))


def contradiction_warning(
    file: PanopticFile,
    annotations: Iterable[PanopticAnnotation],
    names: Mapping[int, str],
    source: str,
) -> str | None:
    """Warn of segments whose category has another name elsewhere; None where there are none.

    Args:
        file: a panoptic JSON.
        annotations: those of its images that are used.
        names: the names elsewhere, by category id.
        source: the file or spec that these are from.
    """
    renamed = file.renamed_categories(names)
    category_ids = [s["category_id"] for a in annotations for s in a.segments_info]
    wrong = [category_id for category_id in category_ids if category_id in renamed]
    if not wrong:
        return None
    used = sorted(set(wrong))
    shown = ", ".join(f"{i} is {renamed[i]!r} there and {names[i]!r} here" for i in used[:5])
    more = f" and {len(used) - 5} more" if len(used) > 5 else ""
    return (
        f"{len(wrong)} of {len(category_ids)} predicted segments "
        f"({100 * len(wrong) / len(category_ids):.1f} %) have a category that {file.path} names "
        f"otherwise than {source}: {shown}{more}; ids are compared, not names, so if the numbering "
        "differs, map the predictions' ids to these"
    )


def load_categories(path: Path) -> list[dict[str, Any]]:
    """Read the categories of a COCO JSON.

    Raises:
        InputError: there are none, or they are not as expected.
    """
    categories = _read_categories(path, load_json(path, dict))
    if not categories:
        raise InputError(f"{path}: categories: expected a list of categories, found none")
    return categories


class SegmentIdGenerator:
    """Segment ids whose RGB value is near the colour of their class, the same in every run.

    A stuff class gets its own colour, further segments the nearest free colours of a fixed
    sequence around it. No id is 0, which is void, and no two segments of an image have the same
    id, even if two classes share a colour or a class is black.

    Args:
        categories: dicts with `id`, `color` (r, g, b) and `isthing`.
    """

    def __init__(self, categories: Sequence[Mapping[str, Any]]) -> None:
        self._colors = {category["id"]: tuple(category["color"]) for category in categories}
        self._stuff_ids = {
            rgb_to_id(category["color"]) for category in categories if not category["isthing"]
        }

    def ids(self, segments_info: Iterable[Mapping[str, Any]]) -> list[int]:
        """Choose an id for each segment of an image (dicts with `category_id` and `isthing`)."""
        taken = {0}
        candidates: dict[int, Iterator[int]] = {}
        ids = []
        for segment in segments_info:
            category_id = segment["category_id"]
            if category_id not in candidates:
                candidates[category_id] = _ids_around(self._colors[category_id])
            for segment_id in candidates[category_id]:
                reserved = segment["isthing"] and segment_id in self._stuff_ids
                if segment_id not in taken and not reserved:
                    break
            taken.add(segment_id)
            ids.append(segment_id)
        return ids


def rgb_to_id(color: Sequence[int]) -> int:
    """The id of a colour, `R + 256 G + 65536 B`."""
    red, green, blue = color
    return pack_rgb(red, green, blue)


def renumber(panoptic_seg: np.ndarray, segment_ids: Sequence[int]) -> np.ndarray:
    """Replace the segments 1..S of a map by their ids; 0, void, stays."""
    return np.take(np.array([0, *segment_ids], np.int32), panoptic_seg)


def _ids_around(color: tuple[int, int, int]) -> Iterator[int]:
    """Yield the ids of a colour and of those around it, first within 30 steps, then everywhere."""
    yield rgb_to_id(color)
    for number in range(1, 61**3):
        steps = (number * 23 % 61, number * 37 % 59, number * 11 % 57)
        yield rgb_to_id([min(max(c + s - 30, 0), 255) for c, s in zip(color, steps)])
    yield from itertools.count(1)


def _plain(name: str) -> str:
    return "".join(name.casefold().split())


def _read_annotation(path: Path, folder: Path, index: int, entry: Any) -> PanopticAnnotation:
    where = f"{path}: annotation {index}"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object, found {describe(entry)}")
    for key, kind in (("image_id", object), ("file_name", str), ("segments_info", list)):
        if not isinstance(entry.get(key), kind) or key not in entry:
            raise InputError(f"{where}: {key}: expected it, found {describe(entry.get(key))}")
    with input_errors_at(f"{where}: image_id"):
        image_id = normalise_id(entry["image_id"])
    where = f"{path}: image {image_id}"
    _check_segments(where, entry["segments_info"])
    if not can_name_a_file(entry["file_name"]):
        found = repr(entry["file_name"])
        raise InputError(f"{where}: file_name: expected the name of a file, found {found}")
    png = folder / entry["file_name"]
    if not stays_inside(png, folder):
        raise InputError(f"{where}: file_name: expected a file inside {folder}, found {png}")
    return PanopticAnnotation(image_id, png, entry["segments_info"], where)


def _check_segments(where: str, segments_info: list) -> None:
    seen = set()
    for segment in segments_info:
        if not isinstance(segment, dict):
            raise InputError(f"{where}: segments_info: expected objects, found {describe(segment)}")
        for key in ("id", "category_id"):
            if type(segment.get(key)) is not int:
                found = describe(segment.get(key))
                raise InputError(f"{where}: segments_info: {key}: expected a number, found {found}")
        segment_id = segment["id"]
        if not 1 <= segment_id <= _LARGEST_ID:
            raise InputError(f"{where}: segment {segment_id}: expected an id 1..{_LARGEST_ID}")
        if segment_id in seen:
            raise InputError(
                f"{where}: segment {segment_id}: expected each id once, found it twice"
            )
        seen.add(segment_id)
        _check_values(f"{where}: segment {segment_id}", segment)


def _check_values(where: str, segment: dict[str, Any]) -> None:
    _check_category_id(f"{where}: category_id", segment["category_id"])
    if segment.get("iscrowd", 0) not in (0, 1):
        found = describe(segment["iscrowd"])
        raise InputError(f"{where}: iscrowd: expected 0 or 1, found {found}")
    score = segment.get("score")
    if score is not None and not is_finite(score):
        raise InputError(f"{where}: score: expected a number or null, found {describe(score)}")


def _check_category_id(where: str, category_id: int) -> None:
    if not 0 <= category_id <= _LARGEST_CATEGORY_ID:
        found = describe(category_id)
        raise InputError(f"{where}: expected an id 0..{_LARGEST_CATEGORY_ID}, found {found}")


def _read_categories(path: Path, content: dict) -> list[dict[str, Any]]:
    categories = content.get("categories", [])
    if not isinstance(categories, list):
        raise InputError(f"{path}: categories: expected a list, found {describe(categories)}")
    seen = set()
    for index, category in enumerate(categories):
        where = f"{path}: categories[{index}]"
        _check_category(where, category)
        if category["id"] in seen:
            raise InputError(f"{where}: id: expected each id once, found {category['id']} twice")
        seen.add(category["id"])
    return categories


def _check_category(where: str, category: Any) -> None:
    if not isinstance(category, dict):
        raise InputError(f"{where}: expected an object, found {describe(category)}")
    for key, kind in (("id", int), ("isthing", int), ("name", str)):
        if not isinstance(category.get(key), kind) or key == "id" and category[key] is True:
            raise InputError(f"{where}: {key}: expected it, found {describe(category.get(key))}")
    if not can_name_a_file(category["name"]):
        raise InputError(f"{where}: name: expected a text, found {category['name']!r}")
    _check_category_id(f"{where}: id", category["id"])
    if category["isthing"] not in (0, 1):
        name, found = category["name"], describe(category["isthing"])
        raise InputError(f"{where} ({name}): isthing: expected 0 or 1, found {found}")


def _read_sizes(path: Path, content: dict) -> dict[str, tuple[int, int]]:
    """Read the sizes of the images, as far as the file has them; predictions need not."""
    entries = content.get("images", [])
    if not isinstance(entries, list):
        raise InputError(f"{path}: images: expected a list, found {describe(entries)}")
    sizes = {}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {"id", "height", "width"} <= entry.keys():
            continue
        where = f"{path}: images[{index}]"
        with input_errors_at(f"{where}: id"):
            image_id = normalise_id(entry["id"])
        for key in ("height", "width"):
            if type(entry[key]) is not int or entry[key] < 1:
                found = describe(entry[key])
                raise InputError(f"{where}: {key}: expected a positive integer, found {found}")
        sizes[image_id] = (entry["height"], entry["width"])
    return sizes

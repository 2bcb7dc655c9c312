"""The list of images, images.json: their ids, names and sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.file_names import can_name_a_file, with_slashes
from pps_torch.io.json_files import describe, found_in, load_json, positive_int
from pps_torch.printing import first_of

#: The most pixels that Pillow decodes.
MOST_PIXELS = 178_956_970


@dataclass(frozen=True)
class Image:
    """One entry of images.json.

    Attributes:
        id: the id as normalised text: `42`, `"42"` and `"000042"` are all `"42"`.
        file_name: the photo's name, with slashes.
        height, width: pixels.
    """

    id: str
    file_name: str
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.height, self.width

    @property
    def png_name(self) -> str:
        """The name of this image's PNG in an output folder."""
        return str(PurePosixPath(self.file_name).with_suffix(".png"))

    @property
    def coco_id(self) -> int | str:
        """The id as COCO's files have it, a number as a number."""
        return coco_id(self.id)


@dataclass(frozen=True)
class ImageList:
    """The images of a split, in the order of the file.

    Attributes:
        path: the file.
        images: its images.
        entries: its entries as they stand in the file, for files that repeat them.
    """

    path: Path
    images: tuple[Image, ...]
    entries: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Image]:
        return iter(self.images)

    @property
    def ids(self) -> list[str]:
        """The normalised ids, in order."""
        return [image.id for image in self.images]

    @classmethod
    def load(cls, path: Path | str) -> ImageList:
        """Read `{"images": [{"id", "file_name", "height", "width"}, ...]}`.

        The id may also be called `image_id`, as panoptic_parts' guide has it.

        Raises:
            InputError: names the file, the entry and the key, or the ids or names that occur
                twice.
        """
        path = Path(path)
        content = load_json(path, dict)
        entries = content.get("images")
        if not isinstance(entries, list) or not entries:
            raise InputError(
                f"{path}: images: expected a list of images, {found_in(content, 'images')}"
            )
        images = tuple(_read_image(path, index, entry) for index, entry in enumerate(entries))
        _check_unique(path, "image id", [image.id for image in images])
        _check_unique(path, "file_name, as PNG,", [image.png_name for image in images])
        return cls(path, images, entries)


def normalise_id(image_id: Any) -> str:
    """Write an image id in the one way that ids are compared: without a number's leading zeros.

    An integer may be written as `42.0`.

    Example:
        >>> from pps_torch.io.image_list import normalise_id
        >>> normalise_id(42), normalise_id("000042"), normalise_id("street_07")
        ('42', '42', 'street_07')

    Raises:
        ValueError: the id is neither an integer nor a text.
    """
    if type(image_id) is float and image_id.is_integer():
        image_id = int(image_id)
    if isinstance(image_id, bool) or not isinstance(image_id, (int, str)) or image_id == "":
        raise ValueError(f"expected an integer or a text, found {describe(image_id)}")
    text = str(image_id)
    return str(int(text)) if _is_number(text) else text


def coco_id(image_id: str) -> int | str:
    """Write a normalised id as COCO's files do, a number as a number."""
    return int(image_id) if _is_number(image_id) else image_id


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _read_image(path: Path, index: int, entry: Any) -> Image:
    where = f"{path}: images[{index}]"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object, found {describe(entry)}")
    ids = {key: entry[key] for key in ("id", "image_id") if key in entry}
    if not ids:
        raise InputError(f"{where}: expected the key id (or image_id), found {sorted(entry)}")
    with input_errors_at(f"{where}: {' and '.join(ids)}"):
        normalised = {normalise_id(value) for value in ids.values()}
    if len(normalised) > 1:
        raise InputError(f"{where}: expected one id, found {ids}")
    file_name = entry.get("file_name")
    if not isinstance(file_name, str) or not file_name:
        raise InputError(f"{where}: file_name: expected a text, {found_in(entry, 'file_name')}")
    file_name = with_slashes(file_name)
    if not can_name_a_file(file_name):
        raise InputError(f"{where}: file_name: expected the name of a file, found {file_name!r}")
    parts = PurePosixPath(file_name)
    if parts.is_absolute() or ".." in parts.parts or not parts.name:
        raise InputError(
            f"{where}: file_name: expected a relative path with slashes, found {file_name!r}"
        )
    with input_errors_at(where):
        height, width = (positive_int(entry, key) for key in ("height", "width"))
    pixels = height * width
    if pixels > MOST_PIXELS:
        raise InputError(
            f"{where}: height x width: expected at most {MOST_PIXELS} pixels, "
            f"found {describe(pixels)}"
        )
    try:
        json.dumps(entry, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: expected values that JSON has, found: {error}") from error
    return Image(normalised.pop(), file_name, height, width)


def _check_unique(path: Path, what: str, values: list[str]) -> None:
    seen: set[str] = set()
    double: set[str] = set()
    for value in values:
        (double if value in seen else seen).add(value)
    if double:
        listed = first_of(sorted(double), most=20)
        raise InputError(f"{path}: expected each {what} once, found {len(double)} double: {listed}")

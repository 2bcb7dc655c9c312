"""Predicted instances of images, from COCO JSON or from Cityscapes' text files and mask PNGs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from pps_torch.collector import paused_collector
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.file_names import can_name_a_file, stays_inside, with_slashes
from pps_torch.io.image_files import check_id_map
from pps_torch.io.image_list import Image, ImageList, normalise_id
from pps_torch.io.images import read_id_map
from pps_torch.io.json_files import as_int, describe, is_finite, load_json
from pps_torch.io.pairing import find_files, list_files
from pps_torch.io.rle import check_segmentation, decode_runs, paint_runs, runs_of_mask
from pps_torch.reading import read_regular

FORMATS = ("COCO", "Cityscapes")

#: Of all masks of an image together, which bounds the time and the memory that its merge takes.
_MOST_MASK_PIXELS = 1 << 33


class ScoreCounts(NamedTuple):
    """What is known of the scores of all instances of an image, also of those left out.

    Attributes:
        num: how many instances there are.
        num_above_one: how many have a score above 1, which no confidence has.
        highest: the highest score; None where there is no instance.
    """

    num: int
    num_above_one: int
    highest: float | None

    @classmethod
    def of(cls, scores: list[float]) -> ScoreCounts:
        """Count the scores of an image."""
        return cls(len(scores), sum(score > 1 for score in scores), max(scores, default=None))


@dataclass(frozen=True)
class Instances:
    """The instances of one image, in the order of the file.

    Attributes:
        mask_runs: N masks as runs of pixels, each (K, 2) int64: the first pixel of each run, and
            the one behind its last.
        scores: (N,) float64.
        category_ids: (N,) int64.
        columns_first: whether the runs go down the columns, as RLE stores masks.
        size: the (height, width) of the image.
        all_scores: counts of the scores of all instances of the image, also of those that do not
            reach the threshold.
    """

    mask_runs: list[np.ndarray]
    scores: np.ndarray
    category_ids: np.ndarray
    columns_first: bool
    size: tuple[int, int]
    all_scores: ScoreCounts

    def masks(self) -> np.ndarray:
        """The masks (N, H, W), bool."""
        shape = self.size[::-1] if self.columns_first else self.size
        masks = np.zeros((len(self.mask_runs), *shape), bool)
        for mask, runs in zip(masks, self.mask_runs):
            paint_runs(mask, runs)
        return masks.swapaxes(1, 2) if self.columns_first else masks


@dataclass(frozen=True)
class InstanceRules:
    """What is asked of an instance.

    Attributes:
        spec_name: the name of the spec, for messages.
        labels: the names of all its categories, by id.
        things: the ids of the categories that have instances.
        score_threshold: instances below it are checked and left out.
    """

    spec_name: str
    labels: Mapping[int, str]
    things: Collection[int]
    score_threshold: float

    def check_category(self, category_id: Any) -> int:
        """Return a category id if it is that of a thing class; otherwise raise ValueError."""
        number = as_int(category_id)
        if number is not None and number in self.things:
            return number
        expected = f"a thing class of {self.spec_name}"
        if number is not None and number in self.labels:
            label = self.labels[number]
            raise ValueError(f"expected {expected}, found {number} ({label}), which is stuff")
        raise ValueError(f"expected {expected}, found {describe(category_id)}")

    def check_score(self, score: Any) -> float:
        """Return a score as a float if it is a finite number; otherwise raise ValueError."""
        if is_finite(score):
            return float(score)
        raise ValueError(f"expected a number, found {describe(score)}")


class InstanceSource(Protocol):
    """A source of predicted instances; `read` may be called from several threads."""

    def read(self, image: Image) -> Instances:
        """Read the instances of an image that reach the score threshold, checked and decoded."""
        ...

    def files(self, image: Image) -> Iterator[Path]:
        """The files that `read` reads for an image."""
        ...


def open_instances(
    path: Path | str, instseg_format: str, images: ImageList, rules: InstanceRules
) -> InstanceSource:
    """Open the predicted instances of a list of images.

    Args:
        path: for `COCO` a JSON file with all annotations, or a folder with a JSON for each
            image, whose name contains the image id; for `Cityscapes` the folder with a text file
            for each image (lines of `mask.png class score`) and the masks (non-zero inside).
        instseg_format: one of `FORMATS`.
        images: the images.
        rules: what is asked of an instance.

    Raises:
        InputError: a file is missing or ambiguous, or a JSON of all images is not as expected.
    """
    path = Path(path)
    if instseg_format == "Cityscapes":
        return CityscapesInstances(
            path, find_files(path, images.ids, (".txt",), "instance prediction"), rules
        )
    if instseg_format != "COCO":
        raise InputError(
            f"expected one of {FORMATS}, found {instseg_format!r}", argument="instseg_format"
        )
    if os.path.isdir(path):
        if list_files(path, (".txt",)) and not list_files(path, (".json",)):
            raise InputError(
                f"{path}: expected a JSON for each image, found text files",
                remedy=("instseg_format", "read them as those of Cityscapes"),
            )
        return CocoFolderInstances(
            find_files(path, images.ids, (".json",), "instance prediction"), rules
        )
    return CocoInstances.load(path, images, rules)


@dataclass(frozen=True)
class CocoInstances:
    """Instances from one JSON for all images, which is checked before any mask is decoded."""

    path: Path
    annotations: dict[str, _ImageAnnotations]

    @classmethod
    @paused_collector()
    def load(cls, path: Path, images: ImageList, rules: InstanceRules) -> CocoInstances:
        """Read and check the whole file; instances of other images are passed over."""
        image_of_id = {image.id: image for image in images}
        annotations: dict[str, list[_Annotation]] = {image.id: [] for image in images}
        others = 0
        entries = _annotation_list(path)
        for index, entry in enumerate(entries):
            image_id = _image_id(path, index, entry)
            if image_id not in annotations:
                others += 1
                continue
            annotations[image_id].append(
                _check_annotation(path, index, entry, image_of_id[image_id], rules)
            )
        if entries and others == len(entries):
            raise InputError(
                f"{path}: expected instances of the images in {images.path}, found {others} of "
                f"other images, the first of image {_image_id(path, 0, entries[0])}"
            )
        return cls(path, {i: _select(a, rules) for i, a in annotations.items()})

    def read(self, image: Image) -> Instances:  # noqa: D102
        return _decode(self.path, image, self.annotations[image.id])

    def files(self, image: Image) -> Iterator[Path]:  # noqa: D102
        yield self.path


@dataclass(frozen=True)
class CocoFolderInstances:
    """Instances from a JSON for each image."""

    paths: dict[str, Path]
    rules: InstanceRules

    def read(self, image: Image) -> Instances:  # noqa: D102
        path = self.paths[image.id]
        annotations = []
        for index, entry in enumerate(_annotation_list(path)):
            if isinstance(entry, dict) and "image_id" in entry:
                image_id = _image_id(path, index, entry)
                if image_id != image.id:
                    raise InputError(
                        f"{path}: annotation {index}: image_id: expected {image.id}, "
                        f"found {image_id}"
                    )
            annotations.append(_check_annotation(path, index, entry, image, self.rules))
        return _decode(path, image, _select(annotations, self.rules))

    def files(self, image: Image) -> Iterator[Path]:  # noqa: D102
        yield self.paths[image.id]


@dataclass(frozen=True)
class CityscapesInstances:
    """Instances from a text file for each image and a PNG for each mask."""

    folder: Path
    paths: dict[str, Path]
    rules: InstanceRules

    def read(self, image: Image) -> Instances:  # noqa: D102
        path = self.paths[image.id]
        kept, scores = [], []
        for number, line in _lines(path):
            where = f"{path}: line {number} (image {image.id})"
            mask_path, category_id, score = self._parse(where, path, line)
            scores.append(score)
            if score >= self.rules.score_threshold:
                kept.append((mask_path, category_id, score))
            else:
                check_id_map(mask_path, image.size)
        _check_num_pixels(path, len(kept), image.size)
        return Instances(
            [runs_of_mask(read_id_map(mask_path, image.size) != 0) for mask_path, _, _ in kept],
            np.array([score for _, _, score in kept], np.float64),
            np.array([category_id for _, category_id, _ in kept], np.int64),
            columns_first=False,
            size=image.size,
            all_scores=ScoreCounts.of(scores),
        )

    def files(self, image: Image) -> Iterator[Path]:  # noqa: D102
        path = self.paths[image.id]
        yield path
        for _, line in _lines(path):
            yield self._mask_path(path, with_slashes(line.rsplit(None, 2)[0]))

    def _parse(self, where: str, path: Path, line: str) -> tuple[Path, int, float]:
        fields = line.rsplit(None, 2)
        if len(fields) != 3:
            raise InputError(f"{where}: expected 'mask.png class score', found {line!r}")
        name, category_id, score = with_slashes(fields[0]), *fields[1:]
        with input_errors_at(f"{where}: class"):
            category_id = self.rules.check_category(_number(category_id, int))
        with input_errors_at(f"{where}: score"):
            score = self.rules.check_score(_number(score, float))
        if not can_name_a_file(name):
            raise InputError(f"{where}: expected the name of a mask, found {name!r}")
        mask_path = self._mask_path(path, name)
        if not stays_inside(mask_path, self.folder, path.parent):
            raise InputError(f"{where}: expected a mask inside {self.folder}, found {name!r}")
        return mask_path, category_id, score

    def _mask_path(self, path: Path, name: str) -> Path:
        """The path of a mask: beside the text file, or in the folder, as panoptic_parts has it."""
        beside = path.parent / name
        return beside if os.path.exists(beside) else self.folder / name


def _check_num_pixels(path: Path, count: int, size: tuple[int, int]) -> None:
    """Raise InputError where an image has so many masks that merging them could take hours."""
    found = count * size[0] * size[1]
    if found > _MOST_MASK_PIXELS:
        raise InputError(
            f"{path}: expected masks of at most {_MOST_MASK_PIXELS} pixels in all for an "
            f"image, found {count} instances with {found}",
            remedy=("score_threshold", "drop poor ones"),
        )


@dataclass(frozen=True)
class _Annotation:
    """A checked instance of a COCO JSON; `index` is its place in the file."""

    index: int
    segmentation: Any
    score: float
    category_id: int


@dataclass(frozen=True)
class _ImageAnnotations:
    """The annotations of an image that reach the score threshold, and the scores of all."""

    kept: list[_Annotation]
    all_scores: ScoreCounts


def _select(annotations: list[_Annotation], rules: InstanceRules) -> _ImageAnnotations:
    """Leave out the annotations below the score threshold."""
    kept = [a for a in annotations if a.score >= rules.score_threshold]
    return _ImageAnnotations(kept, ScoreCounts.of([a.score for a in annotations]))


def _annotation_list(path: Path) -> list:
    content = load_json(path)
    if isinstance(content, dict) and "annotations" in content:
        content = content["annotations"]
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list of annotations, found {describe(content)}")
    return content


def _image_id(path: Path, index: int, entry: Any) -> str:
    where = f"{path}: annotation {index}"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object, found {describe(entry)}")
    if "image_id" not in entry:
        raise InputError(f"{where}: expected the key image_id, found {sorted(entry)}")
    try:
        return normalise_id(entry["image_id"])
    except ValueError as error:
        raise InputError(f"{where}: image_id: {error}") from error


def _check_annotation(
    path: Path, index: int, entry: Any, image: Image, rules: InstanceRules
) -> _Annotation:
    where = f"{path}: annotation {index} (image {image.id})"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object, found {describe(entry)}")
    for key in ("segmentation", "score", "category_id"):
        if key not in entry:
            raise InputError(f"{where}: expected the key {key}, found {sorted(entry)}")
    key = "category_id"
    try:
        category_id = rules.check_category(entry[key])
        key = "score"
        score = rules.check_score(entry[key])
        key = "segmentation"
        check_segmentation(entry[key], image.size)
    except ValueError as error:
        raise InputError(f"{where}: {key}: {error}") from error
    return _Annotation(index, entry["segmentation"], score, category_id)


def _decode(path: Path, image: Image, found: _ImageAnnotations) -> Instances:
    """Decode the runs of an image."""
    annotations = found.kept
    _check_num_pixels(path, len(annotations), image.size)
    mask_runs = []
    for annotation in annotations:
        where = f"{path}: annotation {annotation.index} (image {image.id})"
        with input_errors_at(f"{where}: segmentation"):
            mask_runs.append(decode_runs(annotation.segmentation, image.size))
    return Instances(
        mask_runs,
        np.array([annotation.score for annotation in annotations], np.float64),
        np.array([annotation.category_id for annotation in annotations], np.int64),
        columns_first=True,
        size=image.size,
        all_scores=found.all_scores,
    )


def _lines(path: Path) -> list[tuple[int, str]]:
    """Read the lines of a text file that are not blank, each with its number."""
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected a text file, found: {error}") from error
    lines = enumerate(text.replace("\r", "\n").split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _number(text: str, kind: type) -> int | float | str:
    """The number in a text, or the text where there is none."""
    if not text.isascii() or "_" in text:  # Python reads 2_6 as 26
        return text
    try:
        return kind(text)
    except ValueError:
        return text

"""COCO panoptic files: one JSON, and for each image a PNG of segment ids, or masks in the JSON."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pps_torch.collector import paused_collector
from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.rgb_ids import pack_rgb
from pps_torch.formats.segment_numbers import check_fit, number_runs
from pps_torch.formats.segments_info import check_flags
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.file_names import check_folder
from pps_torch.io.image_list import MOST_PIXELS, normalise_id
from pps_torch.io.images import read_coded_ids
from pps_torch.io.json_files import check_type, describe, load_json
from pps_torch.io.mask_segments import (
    SegmentMasks,
    group_annotations,
    has_masks,
    paint_segments,
    size_of_masks,
)
from pps_torch.io.panoptic_entries import (
    AnnotationReader,
    image_ids,
    read_categories,
    read_sizes,
)
from pps_torch.printing import first_of
from pps_torch.reserved import ABSENT, VOID_ID

_NUMBER_OF_GROUPS = re.compile("[0-9]+(_[0-9]+)+")


@dataclass(frozen=True)
class PanopticAnnotation:
    """The segments of one image.

    Attributes:
        image_id: the id of the image, normalised.
        png: the file of segment ids; the JSON where that has the masks.
        segments_info: dicts with at least `id` and `category_id`, in the order of the file.
        where: the JSON file and the image, for messages.
        masks: of the segments, where the JSON has them; None for a PNG.
    """

    image_id: str
    png: Path
    segments_info: list[dict[str, Any]]
    where: str
    masks: SegmentMasks | None = None

    def read_ids(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Read the ids of the segments: as colours `(H, W, 3)` uint8, or themselves `(H, W)`.

        Args:
            size: the (height, width) that the map must have.

        Raises:
            InputError: a PNG that is missing, damaged, or of another kind or size; masks that are
                bad or overlap, and those of unknown size.
        """
        if self.masks is None:
            return read_coded_ids(self.png, size)
        size = size or size_of_masks(self.masks)
        if size is None:
            raise InputError(f"{self.where}: expected its height and width in images, found none")
        if size[0] * size[1] > MOST_PIXELS:
            found = f"height x width {describe(size[0])} x {describe(size[1])}"
            raise InputError(f"{self.where}: expected at most {MOST_PIXELS} pixels, found {found}")
        with input_errors_at(self.where):
            return paint_segments(self.masks, size)

    def prediction(self, ids: Tensor) -> PanopticSegmentation:
        """Make a prediction of the ids `(H, W)` in the PNG; ValueError if they do not fit the list.

        Where the list has a segment 0, there is no void.
        """
        return PanopticSegmentation.from_segments(ids, self.segments_info, void_id=self._void_id())

    def target(self, ids: Tensor, *, allow_misfits: bool = False) -> PanopticTarget:
        """Make a ground truth of the ids in the PNG; ValueError if they do not fit the list."""
        return PanopticTarget.from_segments(ids, self.segments_info, allow_misfits=allow_misfits)

    def number_runs(
        self, ids: np.ndarray, lengths: np.ndarray, *, allow_misfits: bool = False
    ) -> np.ndarray:
        """Number the segments of runs as `prediction` and `target` do; errors are theirs.

        Args:
            ids: `(R,)` in the PNG, in any order.
            lengths: `(R,)` pixels.
            allow_misfits: as for a target.

        Returns:
            `(R,)` int64.
        """
        check_flags(self.segments_info)
        listed = [segment["id"] for segment in self.segments_info]
        numbers, areas, unlisted = number_runs(ids, lengths, [self._void_id(), *listed])
        if not allow_misfits:
            check_fit(listed, areas[1:].tolist(), unlisted)
        return numbers

    def _void_id(self) -> int:
        """The id of pixels without segment: none has it where it is that of a segment."""
        has_zero = any(segment["id"] == VOID_ID for segment in self.segments_info)
        return ABSENT if has_zero else VOID_ID

    def check_categories(self, known: Collection[int], source: str) -> None:
        """Raise InputError for a segment whose category is not one of the known ones.

        Args:
            known: category ids.
            source: the file or spec that they are from, for the message.
        """
        for segment in self.segments_info:
            if segment["category_id"] not in known:
                category_id, ids = segment["category_id"], sorted(known)
                listed = ", ".join(map(str, ids[:10])) + ", ..." * (len(ids) > 10)
                hint = "; are these class indices?" if category_id < len(ids) else ""
                raise InputError(
                    f"{self.where}: segment {segment['id']}: category_id: expected a category of "
                    f"{source} ({listed}), found {category_id}{hint}"
                )


@dataclass(frozen=True)
class PanopticFile:
    """A COCO panoptic JSON.

    Attributes:
        path: the file.
        annotations: by normalised image id.
        categories: category dicts, an empty list where the file has none.
        sizes: (height, width) by image id, for images whose entry says so.
        has_masks: whether the JSON has the masks of the segments, and there are no PNGs.
    """

    path: Path
    annotations: dict[str, PanopticAnnotation]
    categories: list[dict[str, Any]]
    sizes: dict[str, tuple[int, int]]
    has_masks: bool = False

    @classmethod
    @paused_collector()
    def load(
        cls,
        path: Path | str,
        folder: Path | str | None = None,
        *,
        is_prediction: bool = False,
        allow_masks: bool = False,
    ) -> PanopticFile:
        """Read the JSON; the PNGs are not opened.

        Numbers may be written as `300.0`, and names of PNGs with backslashes. A `color` becomes
        `[r, g, b]`, whichever way it is written, or is left out with a warning. Images that share
        a PNG are warned of.

        Args:
            path: the JSON.
            folder: where its PNGs are; default: the path without .json.
            is_prediction: whether a segment may have the id 0, as models that number from 0 write
                it; there is then no void. In a ground truth 0 is void.
            allow_masks: whether the JSON may have an annotation for each segment, with its mask as
                RLE or polygons, in place of one for each image. Predictions may then be a list of
                these, as COCO's results are. All its `images` are there, also without a segment.

        Raises:
            InputError: names the file, the annotation or image, the key and what was found.
        """
        path = Path(path)
        content = load_json(path)
        if isinstance(content, list) and allow_masks and is_prediction:
            return cls._of_masks(path, folder, {"annotations": content}, is_prediction)
        check_type(path, content, dict)
        folder_of_pngs = path.with_suffix("") if folder is None else Path(folder)
        if "annotations" not in content:
            raise InputError(
                f"{path}: expected the key annotations (a COCO panoptic file), "
                f"found {sorted(content)[:5]}"
            )
        if not isinstance(content["annotations"], list):
            found = describe(content["annotations"])
            raise InputError(f"{path}: annotations: expected a list, found {found}")
        if allow_masks and has_masks(content["annotations"]):
            return cls._of_masks(path, folder, content, is_prediction)
        check_folder(folder_of_pngs, f"the folder with the PNGs of {path}")
        annotations: dict[str, PanopticAnnotation] = {}
        reader = AnnotationReader(path, folder_of_pngs, is_prediction)
        for index, entry in enumerate(content["annotations"]):
            annotation = PanopticAnnotation(*reader.read(index, entry))
            if annotation.image_id in annotations:
                raise InputError(f"{path}: expected image {annotation.image_id} once, found twice")
            annotations[annotation.image_id] = annotation
        _warn_of_shared_pngs(path, annotations.values())
        categories, sizes = read_categories(path, content), read_sizes(path, content)
        return cls(path, annotations, categories, sizes)

    @classmethod
    def _of_masks(
        cls, path: Path, folder: Path | str | None, content: dict[str, Any], is_prediction: bool
    ) -> PanopticFile:
        """A file whose annotations are segments with masks."""
        if folder is not None:
            raise InputError(
                f"{path}: expected no folder of PNGs, as its annotations have masks, found {folder}"
            )
        categories, sizes = read_categories(path, content), read_sizes(path, content)
        reader = AnnotationReader(path, path.parent, is_prediction)
        segments = group_annotations(path, content["annotations"])
        annotations = {}
        for image_id in dict.fromkeys((*image_ids(path, content), *segments)):
            infos, masks = segments.get(image_id, ([], SegmentMasks([], [])))
            where = f"{path}: image {image_id}"
            reader.check_segments(where, infos)
            annotations[image_id] = PanopticAnnotation(image_id, path, infos, where, masks)
        return cls(path, annotations, categories, sizes, has_masks=True)

    def find_annotations(
        self, image_ids: Iterable[str], wanted_by: Path
    ) -> dict[str, PanopticAnnotation]:
        """Find the annotation of each image.

        Of a file with masks, an image without an annotation has no segments, as long as others do.

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
                if self.has_masks:
                    where = f"{self.path}: image {image_id}"
                    no_masks = SegmentMasks([], [])
                    found[image_id] = PanopticAnnotation(image_id, self.path, [], where, no_masks)
                continue
            other = owners.setdefault(annotation.image_id, image_id)
            if other != image_id:
                raise InputError(
                    f"{annotation.where}: expected the annotation of one image of {wanted_by}, "
                    f"found that it would be taken for {other} and for {image_id}"
                )
            found[image_id] = annotation
        if missing and not (self.has_masks and len(missing) < len(found)):
            raise InputError(
                f"{self.path}: expected an annotation for each image of {wanted_by}, found "
                f"none for {len(missing)}: {first_of(missing, most=20)}"
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


def _warn_of_shared_pngs(path: Path, annotations: Collection[PanopticAnnotation]) -> None:
    """Warn if images share a PNG: where frames of two videos have one name, one has overwritten."""
    image_of_png: dict[Path, str] = {}
    for annotation in annotations:
        other = image_of_png.setdefault(annotation.png, annotation.image_id)
        if other != annotation.image_id:
            warnings.warn(
                f"{path}: annotations: expected a PNG for each image, found that "
                f"{len(annotations)} images share {len({a.png for a in annotations})}, of them "
                f"{other} and {annotation.image_id} {annotation.png}",
                stacklevel=2,
            )
            return


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
    listed = [f"{i} is {renamed[i]!r} there and {names[i]!r} here" for i in sorted(set(wrong))]
    return (
        f"{len(wrong)} of {len(category_ids)} predicted segments "
        f"({100 * len(wrong) / len(category_ids):.1f} %) have a category that {file.path} names "
        f"otherwise than {source}: {first_of(listed, most=5)}; ids are compared, not "
        "names, so if the numbering differs, map the predictions' ids to these"
    )


def load_categories(path: Path) -> list[dict[str, Any]]:
    """Read the categories of a COCO JSON.

    Raises:
        InputError: there are none, or they are not as expected.
    """
    categories = read_categories(path, load_json(path, dict))
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
    """Replace the segments 1..S of a map by their ids; 0, void, stays.

    Raises:
        ValueError: for another number in the map.
    """
    if panoptic_seg.size and not 0 <= panoptic_seg.min() <= panoptic_seg.max() <= len(segment_ids):
        raise ValueError(
            f"panoptic_seg: expected segments 1..{len(segment_ids)} or void, 0, found "
            f"{panoptic_seg.min()}..{panoptic_seg.max()}"
        )
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

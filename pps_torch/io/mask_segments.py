"""Panoptic maps as masks in a JSON: one annotation a segment, as in LVIS and COCO's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_list import normalise_id
from pps_torch.io.json_files import describe
from pps_torch.io.rle import decode_runs


class SegmentMasks(NamedTuple):
    """The masks of an image, in the order of the file.

    Attributes:
        segmentations: of each segment, an RLE or polygons, as in COCO's annotations.
        names: of each segment, for messages.
    """

    segmentations: list[Any]
    names: list[str]


def read_segments(
    annotations: Sequence[Mapping[str, Any]], size: tuple[int, int]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Turn the annotations of one image into a map of segment ids and a list of its segments.

    `from_segments` of [`PanopticSegmentation`][pps_torch.PanopticSegmentation] and
    [`PanopticTarget`][pps_torch.PanopticTarget] takes both.

    Args:
        annotations: dicts with `segmentation`, an RLE, as pycocotools gives it, too, or polygons,
            and what `from_segments` needs: `category_id`, and optionally `iscrowd`, `isthing` and
            `score`.
        size: (height, width) of the image.

    Returns:
        `(H, W)` int32, 0 where there is no segment, and the dicts without their masks; the `id` of
        each is its place in the list, from 1 on.

    Raises:
        ValueError: a bad mask, or segments that overlap; it names them.

    Example:
        >>> rle = [{"size": [1, 5], "counts": [0, 2, 3]}, {"size": [1, 5], "counts": [3, 1, 1]}]
        >>> ids, segments_info = read_segments(
        ...     [{"category_id": c, "segmentation": s} for c, s in zip((7, 26), rle)], (1, 5))
        >>> ids
        array([[1, 1, 0, 2, 0]], dtype=int32)
        >>> segments_info
        [{'category_id': 7, 'id': 1}, {'category_id': 26, 'id': 2}]
    """
    masks = SegmentMasks([], [])
    segments_info = []
    for place, annotation in enumerate(annotations, 1):
        if "segmentation" not in annotation:
            found = sorted(annotation)
            raise ValueError(f"annotations[{place - 1}]: expected a segmentation, found {found}")
        masks.segmentations.append(_as_text(annotation["segmentation"]))
        masks.names.append(_name(place - 1, annotation))
        rest = {key: value for key, value in annotation.items() if key != "segmentation"}
        segments_info.append({**rest, "id": place})
    return paint_segments(masks, size), segments_info


def _as_text(segmentation: Any) -> Any:
    """An RLE as JSON has it; pycocotools gives the counts as bytes."""
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), bytes):
        return {**segmentation, "counts": segmentation["counts"].decode("latin-1")}
    return segmentation


def paint_segments(masks: SegmentMasks, size: tuple[int, int]) -> np.ndarray:
    """Paint the masks of an image: `(H, W)` int32, segment 1, 2, ... in their order, 0 for none.

    Raises:
        ValueError: a bad mask, or segments that overlap; it names them.
    """
    height, width = size
    runs = []
    for name, segmentation in zip(masks.names, masks.segmentations):
        try:
            runs.append(decode_runs(segmentation, size))
        except ValueError as error:
            raise ValueError(f"{name}: segmentation: {error}") from error
    borders = np.concatenate([np.empty((0, 2), np.int64), *runs])
    number = np.repeat(np.arange(1, len(runs) + 1), [len(r) for r in runs])
    is_run = borders[:, 0] < borders[:, 1]
    order = borders[is_run, 0].argsort(kind="stable")
    (starts, ends), number = borders[is_run][order].T, number[is_run][order]
    reached = np.maximum.accumulate(np.concatenate([[0], ends]))[:-1]
    if (is_covered := starts < reached).any():
        second = int(is_covered.argmax())
        first = int(ends[:second].argmax())
        one, other = (masks.names[n - 1] for n in sorted((number[first], number[second])))
        raise ValueError(
            f"expected segments that do not overlap, found that {one} and {other} share pixels; "
            "merge_to_panoptic makes panoptic maps of instances that do"
        )
    # Void and runs take turns, column by column.
    values = np.zeros(2 * len(starts) + 1, np.int32)
    values[1::2] = number
    lengths = np.diff(np.stack([starts, ends], 1).ravel(), prepend=0, append=height * width)
    return np.ascontiguousarray(np.repeat(values, lengths).reshape(width, height).T)


def has_masks(entries: Sequence[Any]) -> bool:
    """Whether the annotations of a JSON are segments with masks, and not images with a PNG."""
    first = next((entry for entry in entries if isinstance(entry, dict)), {})
    return "segmentation" in first and "segments_info" not in first


def group_annotations(
    path: Path, entries: Sequence[Any]
) -> dict[str, tuple[list[dict[str, Any]], SegmentMasks]]:
    """The segments of each image, with their masks, in the order of the file.

    Args:
        path: the JSON, for messages.
        entries: its annotations, one a segment.

    Returns:
        by normalised image id, the segments as in a `segments_info`, where `id` is the place among
        those of the image, from 1 on, and their masks, not decoded.

    Raises:
        InputError: names the file, the annotation, the key and what was found.
    """
    images: dict[str, tuple[list[dict[str, Any]], SegmentMasks]] = {}
    for index, entry in enumerate(entries):
        where = f"{path}: annotation {index}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: expected an object, found {describe(entry)}")
        for key in ("image_id", "category_id", "segmentation"):
            if key not in entry:
                raise InputError(f"{where}: expected the key {key}, found {sorted(entry)}")
        with input_errors_at(f"{where}: image_id"):
            image_id = normalise_id(entry["image_id"])
        segments, masks = images.setdefault(image_id, ([], SegmentMasks([], [])))
        kept = {key: entry[key] for key in ("category_id", "iscrowd", "score") if key in entry}
        segments.append({**kept, "id": len(segments) + 1})
        masks.segmentations.append(entry["segmentation"])
        masks.names.append(_name(index, entry))
    return images


def size_of_masks(masks: SegmentMasks) -> tuple[int, int] | None:
    """The (height, width) that the first RLE names; None without one."""
    for segmentation in masks.segmentations:
        if isinstance(segmentation, dict) and isinstance(segmentation.get("size"), list):
            size = segmentation["size"]
            if len(size) == 2 and all(type(side) is int and side > 0 for side in size):
                return size[0], size[1]
    return None


def _name(index: int, annotation: Mapping[str, Any]) -> str:
    """What an annotation is called in messages."""
    return f"annotation {index}" + (
        f" (id {describe(annotation['id'])})" if "id" in annotation else ""
    )

"""Tables of an evaluation, as CSV and JSON: what became of each segment and each image."""

from __future__ import annotations

import csv
import io
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pps_torch.collector import paused_collector
from pps_torch.io.errors import InputError
from pps_torch.io.json_files import describe, parse_json
from pps_torch.io.published import check_published
from pps_torch.io.seals import seal, unseal
from pps_torch.metrics import (
    ImageRecord,
    PanopticQualityResult,
    PartPanopticQualityResult,
    SegmentRecord,
    counts_by_class,
)
from pps_torch.metrics.class_counts import ClassCounts, mean_qualities
from pps_torch.pipelines.running.processes import Processes
from pps_torch.pipelines.running.results import IMAGES, REFERENCE, RESULTS, SEGMENTS, TABLES
from pps_torch.reading import read_regular
from pps_torch.specs import EvalSpec

_VERSION = 3

#: The columns of the CSV files, as the page on results explains them.
SEGMENT_COLUMNS = (
    *("image_id", "map", "index", "class_id", "class", "instance", "area", "verdict", "match"),
    *("iou", "part_iou", "taken_for_id", "taken_for", "taken_share", "part_ious"),
)
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "'")
_CHANGED = "expected what an evaluation with tables wrote, found it changed"
IMAGE_COLUMNS = ("image_id", "quality", "sq", "rq", "iou", "tp", "fp", "fn")


@dataclass(frozen=True)
class ClassInfo:
    """A class in tables and reports.

    Attributes:
        id: category id or scene id.
        name: its name.
        is_thing: whether it has instances.
        color: (r, g, b), None for the default colour of its place.
        parts: name by part id, empty for a class without parts; background, 0, is not listed.
    """

    id: int
    name: str
    is_thing: bool
    color: tuple[int, int, int] | None
    parts: dict[int, str]

    @classmethod
    def from_spec(cls, spec: EvalSpec) -> list[ClassInfo]:
        """The classes of a spec, in class order."""
        from pps_torch.visualization.legend import part_name  # PQ does without it

        return [
            cls(
                category["id"],
                category["name"],
                bool(category["isthing"]),
                tuple(category["color"]),
                {
                    pid: part_name(spec, category["id"], pid)
                    for pid in spec.part_pids.get(category["id"], ())
                },
            )
            for category in spec.categories
        ]

    @classmethod
    def from_categories(cls, categories: Sequence[Mapping[str, Any]]) -> list[ClassInfo]:
        """The classes of COCO categories, in their order."""
        return [
            cls(c["id"], c["name"], bool(c["isthing"]), _color(c.get("color")), {})
            for c in categories
        ]


@dataclass(frozen=True)
class Tables:
    """Everything that the tables of an evaluation hold.

    Attributes:
        metric: `"PartPQ"` or `"PQ"`.
        name: the beginning of the files' names: the name of the spec, or `pq`.
        inputs: the evaluation's own arguments, by name; evaluators have no `images_json`.
        classes: in class order.
        result: the metric's result, as `as_dict` gives it.
        confused_pixels: `(C, C + 1)` int64, the sum over the images; see
            [`ImageRecord`][pps_torch.metrics.ImageRecord].
        images: the segments by image id, in the order of the evaluation.
        whole_counts: for PartPQ, the counts of PQ of the same maps by class id, see
            [`without_parts`][pps_torch.specs.EvalSpec.without_parts]; for PQ this is empty, as the
            counts of PQ follow from the segments.
    """

    metric: str
    name: str
    inputs: dict[str, Any]
    classes: list[ClassInfo]
    result: dict[str, Any]
    confused_pixels: np.ndarray
    images: dict[str, list[SegmentRecord]]
    whole_counts: dict[int, ClassCounts]

    @property
    def part_aware(self) -> bool:
        """Whether a match counts with the mean IoU of its parts."""
        return self.metric == "PartPQ"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the tables hold, the one that was evaluated first."""
        return ("PartPQ", "PQ") if self.part_aware else ("PQ",)

    @cached_property
    def class_counts(self) -> dict[str, dict[int, ClassCounts]]:
        """By metric, the counts by class id of the classes that have any segment."""
        segments = list(itertools.chain.from_iterable(self.images.values()))
        counts = counts_by_class(segments, part_aware=self.part_aware)
        return dict(zip(self.metrics, (counts, self.whole_counts)))

    @cached_property
    def image_qualities(self) -> dict[str, tuple[float, float, float, int]]:
        """The metric, its SQ and RQ, and the number of classes, of each image alone, by its id."""
        return {
            image_id: mean_qualities(counts_by_class(segments, part_aware=self.part_aware).values())
            for image_id, segments in self.images.items()
        }

    @classmethod
    @paused_collector()
    def load(cls, path: Path | str) -> Tables:
        """Read the JSON file of tables.

        Args:
            path: the file, or a folder with one such file.

        Raises:
            InputError: there is none, there are several, or it is not what the evaluation wrote.
        """
        path = _find_tables(Path(path))
        try:
            text = read_regular(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        content = unseal(text)
        if content is None:
            _refuse_unsealed(path, text)
        if content["tables_version"] != _VERSION:
            raise _wrong_version(path, content["tables_version"])
        check_published(path, path.name.removesuffix(TABLES), text)
        try:
            return cls(
                metric=content["metric"],
                name=content["name"],
                inputs=content["inputs"],
                classes=[_class_of_json(entry) for entry in content["classes"]],
                result=content["result"],
                confused_pixels=np.array(content["confused_pixels"], np.int64),
                images={
                    image["image_id"]: [_segment_of_json(row) for row in image["segments"]]
                    for image in content["images"]
                },
                whole_counts={
                    int(class_id): ClassCounts(*counts)
                    for class_id, counts in content["whole_counts"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: {_CHANGED}: {type(error).__name__} {error}") from error

    def files(self) -> dict[str, bytes]:
        """The contents of the files, by the endings of their names."""
        return {
            SEGMENTS: self.segments_csv().encode(),
            IMAGES: self.images_csv().encode(),
            TABLES: seal(self.as_json()) + b"\n",
        }

    def files_of_evaluation(self, evaluation: Path | str) -> Iterator[Path]:
        """The files of the evaluation, and those that it read.

        Args:
            evaluation: the file of the tables, or its folder.
        """
        path = Path(evaluation)
        yield path
        folder = path if os.path.isdir(path) else path.parent
        for ending in (SEGMENTS, IMAGES, TABLES, REFERENCE, RESULTS):
            yield folder / (self.name + ending)
        for value in self.inputs.values():
            if value is not None and os.path.isfile(value):
                yield Path(value)

    def as_json(self) -> dict[str, Any]:
        """The content of the JSON file, which `load` reads."""
        return {
            "tables_version": _VERSION,
            "metric": self.metric,
            "name": self.name,
            "inputs": self.inputs,
            "classes": [vars(info) for info in self.classes],
            "result": self.result,
            "whole_counts": self.whole_counts,
            "confused_pixels": self.confused_pixels.tolist(),
            "segment_columns": SegmentRecord._fields,
            "images": [
                {"image_id": image_id, "segments": [list(segment) for segment in segments]}
                for image_id, segments in self.images.items()
            ],
        }

    def segments_csv(self) -> str:
        """CSV with a line for each [`SegmentRecord`][pps_torch.metrics.SegmentRecord]."""
        names: dict[int | None, str | None] = {i.id: _text_cell(i.name) for i in self.classes}
        names[None] = None
        rows = (
            (
                *(image_id, "gt" if s.is_gt else "pred", s.index, s.class_id, names[s.class_id]),
                *(s.instance, s.area, s.verdict, s.match, s.iou, s.part_iou),
                *(s.taken_for, names[s.taken_for], s.taken_share),
                " ".join(f"{pid}:{iou!r}" for pid, iou in s.part_ious.items()),
            )
            for image_id, segments in zip(map(_text_cell, self.images), self.images.values())
            for s in segments
        )
        return _csv(SEGMENT_COLUMNS, rows)

    def images_csv(self) -> str:
        """CSV with a line for each image: its own quality, and its sums over all classes."""
        rows = []
        for image_id, segments in self.images.items():
            counts = counts_by_class(segments, part_aware=self.part_aware).values()
            quality, sq, rq, n = mean_qualities(counts)
            iou, *verdicts = zip(*counts) if counts else [()] * 4
            sums = [math.fsum(iou), *map(sum, verdicts)]
            rows.append((_text_cell(image_id), *((quality, sq, rq) if n else (None,) * 3), *sums))
        return _csv(IMAGE_COLUMNS, rows)


class TableRecords:
    """The records for the tables, image by image; of the confused pixels only the sum is kept."""

    def __init__(self, num_classes: int) -> None:
        self.segments: list[list[SegmentRecord]] = []
        self.confused_pixels = np.zeros((num_classes, num_classes + 1), np.int64)

    def add(self, records: Iterable[ImageRecord]) -> None:
        """Add the records of the next images."""
        for record in records:
            self.segments.append(record.segments)
            self.confused_pixels += record.confused_pixels.numpy()


@paused_collector()
def encoded_tables(
    name: str,
    metric: str,
    inputs: Mapping[str, Path | str | None],
    classes: list[ClassInfo],
    result: PanopticQualityResult | PartPanopticQualityResult,
    image_ids: Sequence[str],
    records: TableRecords,
    whole: PartPanopticQualityResult | None = None,
    processes: Processes = Processes(),  # noqa: B008
) -> dict[str, bytes] | None:
    """The files of an evaluation's tables, by the endings of their names, on the first process.

    Every process has to call it.

    Args:
        name: the name of the spec, or `pq`.
        metric: `"PartPQ"` or `"PQ"`.
        inputs: the arguments of the evaluation: paths, and names of bundled specs.
        classes: in class order.
        result: of all processes.
        image_ids: all images, in order.
        records: this process's images, in their order.
        whole: for PartPQ, the result by `EvalSpec.without_parts`, of all processes.
        processes: the processes that share the images.
    """
    segments = processes.collect(records.segments)
    confused_pixels = processes.gather(records.confused_pixels)
    if not processes.is_first:
        return None
    tables = Tables(
        metric,
        name,
        {key: _absolute(value) for key, value in inputs.items()},
        classes,
        result.as_dict(),
        sum(confused_pixels[1:], confused_pixels[0]),
        dict(zip(image_ids, segments, strict=True)),
        {} if whole is None else _counts_of_present_classes(whole),
    )
    return tables.files()


def _counts_of_present_classes(result: PartPanopticQualityResult) -> dict[int, ClassCounts]:
    """The counts of the classes that have any segment, by scene id."""
    counts_by_sid = {
        sid: ClassCounts(*(row[key] for key in ClassCounts._fields))
        for sid, row in result.per_class.items()
    }
    return {sid: counts for sid, counts in counts_by_sid.items() if counts.is_present}


def _absolute(value: Path | str | None) -> str | None:
    """The full path of an existing file or folder; a name, such as a bundled spec's, as it is."""
    if not value:
        return None
    return str(Path(value).resolve()) if Path(value).exists() else str(value)


def _color(color: Sequence[int] | None) -> tuple[int, int, int] | None:
    if color is None:
        return None
    red, green, blue = color
    return red, green, blue


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The text of a CSV file; reading its floats gives the same bits, None is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(itertools.chain([header], rows))
    return text.getvalue()


def _text_cell(text: str) -> str:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    return f"'{text}" if text.startswith(_FORMULAS) else text


def text_of_cell(cell: str) -> str:
    """The text that a cell of the CSV files was written for.

    Example:
        >>> from pps_torch.pipelines.evaluation_tables import text_of_cell
        >>> text_of_cell("'=HYPERLINK(1)"), text_of_cell("car")
        ('=HYPERLINK(1)', 'car')
    """
    return cell.removeprefix("'")


def _find_tables(path: Path) -> Path:
    """The file of tables in a folder; a file stands for itself."""
    if not os.path.isdir(path):
        return path
    found = sorted(path.glob(f"*{TABLES}"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        hint = "name one of them" if found else "an evaluation with tables writes one"
        raise InputError(f"{path}: expected one file *{TABLES}, found {names}; {hint}")
    return found[0]


def _refuse_unsealed(path: Path, text: bytes) -> NoReturn:
    """Raise InputError for a file that is not as an evaluation of this version wrote it."""
    content = parse_json(path, text, dict)
    if content.get("tables_version") != _VERSION:
        raise _wrong_version(path, content.get("tables_version"))
    raise InputError(f"{path}: {_CHANGED}")


def _wrong_version(path: Path, found: Any) -> InputError:
    return InputError(f"{path}: tables_version: expected {_VERSION}, found {describe(found)}")


def _class_of_json(entry: Mapping[str, Any]) -> ClassInfo:
    parts = {int(pid): name for pid, name in entry["parts"].items()}
    return ClassInfo(entry["id"], entry["name"], entry["is_thing"], _color(entry["color"]), parts)


def _segment_of_json(row: Sequence[Any]) -> SegmentRecord:
    segment = SegmentRecord._make(row)
    if not segment.part_ious:
        return segment
    return segment._replace(part_ious={int(k): v for k, v in segment.part_ious.items()})

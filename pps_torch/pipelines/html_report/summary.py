"""The numbers of a page, from the tables of an evaluation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pps_torch.metrics import SegmentRecord
from pps_torch.metrics.segment_metric import ClassCounts, mean_qualities
from pps_torch.pipelines.evaluation_tables import ClassInfo, Tables
from pps_torch.visualization.colors import category_colors

MOST_CONFUSED_CLASSES = 32
_MOST_MIX_UPS = 12

_EMPTY = ClassCounts(0.0, 0, 0, 0)


class ClassRow(NamedTuple):
    """A class of the table.

    Attributes:
        info: the class.
        qualities: by their names; those are left out by whose rules the class has no segment.
        tp, fp, fn: of PartPQ, where it was evaluated.
    """

    info: ClassInfo
    qualities: dict[str, float]
    tp: int
    fp: int
    fn: int


class PartRow(NamedTuple):
    """A part: the mean of its IoU over the matches in which it is present, and their number."""

    name: str
    iou: float
    count: int  # type: ignore[assignment]  # the name hides tuple.count


class Cell(NamedTuple):
    """Ground truth of a class that was predicted as a class, or as none (None)."""

    gt: ClassInfo
    pred: ClassInfo | None
    count: int  # type: ignore[assignment]  # the name hides tuple.count
    share: float


class ConfusionRow(NamedTuple):
    """Where the ground truth of a class went: a cell for each column."""

    gt: ClassInfo
    cells: list[Cell]


class Confusion(NamedTuple):
    """Which class is taken for which, in pixels or segments.

    Attributes:
        columns: the predicted classes, and None for void.
        rows: the classes that the ground truth has. Shares are fractions of all the ground truth
            of the class, also of what is in columns that are left out.
        num_hidden: classes that are left out, as others are confused more.
        mix_ups: the largest counts among different classes.
    """

    columns: list[ClassInfo | None]
    rows: list[ConfusionRow]
    num_hidden: int
    mix_ups: list[Cell]


def class_rows(tables: Tables) -> list[ClassRow]:
    """The classes that have any segment that counts."""
    counts = tables.class_counts()
    rows = []
    for info in tables.classes:
        qualities = {
            quality: value
            for metric, of_metric in counts.items()
            if info.id in of_metric
            for quality, value in zip(quality_names(metric), of_metric[info.id].qualities())
        }
        if qualities:
            rows.append(ClassRow(info, qualities, *counts[tables.metric].get(info.id, _EMPTY)[1:]))
    return rows


def group_rows(tables: Tables) -> list[dict[str, Any]]:
    """Means over groups of classes: `label`, the qualities by name, and `n` of the metric."""
    members = {
        "All classes": tables.classes,
        "Things": [info for info in tables.classes if info.is_thing],
        "Stuff": [info for info in tables.classes if not info.is_thing],
    }
    if tables.part_aware:
        members["With parts"] = [info for info in tables.classes if info.parts]
        members["Without parts"] = [info for info in tables.classes if not info.parts]
    counts = tables.class_counts()
    rows = []
    for label, classes in members.items():
        row: dict[str, Any] = {"label": label}
        for metric, of_metric in counts.items():
            means = mean_qualities(of_metric.get(info.id, _EMPTY) for info in classes)
            row.update(zip(quality_names(metric), means))
            if metric == tables.metric:
                row["n"] = means[-1]
        rows.append(row)
    return rows


def quality_names(metric: str) -> list[str]:
    """`PQ, SQ, RQ`, or the same with Part."""
    return [metric.removesuffix("PQ") + name for name in ("PQ", "SQ", "RQ")]


def part_rows(tables: Tables) -> list[tuple[ClassInfo, list[PartRow]]]:
    """For each class with matched parts: background, then its parts."""
    ious: dict[tuple[int, int], list[float]] = defaultdict(list)
    for of_image in tables.images.values():
        for segment in of_image:
            for pid, iou in segment.part_ious.items():
                ious[segment.class_id, pid].append(iou)
    rows = []
    for info in tables.classes:
        names = {0: "background", **info.parts}
        unnamed = {pid: f"part {pid}" for sid, pid in ious if sid == info.id and pid not in names}
        of_class = [
            PartRow(name, math.fsum(of_part) / len(of_part), len(of_part))
            for pid, name in {**names, **unnamed}.items()
            if (of_part := ious.get((info.id, pid)))
        ]
        if of_class:
            rows.append((info, of_class))
    return rows


def pixel_confusion(tables: Tables) -> Confusion:
    """By pixels of ground-truth segments that are no crowd."""
    return _confusion(tables.classes, tables.confused_pixels)


def segment_confusion(tables: Tables) -> Confusion:
    """By ground-truth segments that are no crowd, each in the column of what covers it most."""
    place: dict[int | None, int] = {info.id: i for i, info in enumerate(tables.classes)}
    counts = np.zeros((len(place), len(place) + 1), np.int64)
    for of_image in tables.images.values():
        for segment in of_image:
            if segment.is_gt and segment.verdict != "crowd":
                counts[place[segment.class_id], place.get(segment.taken_for, -1)] += 1
    return _confusion(tables.classes, counts)


def worst_images(tables: Tables) -> list[str]:
    """Image ids, the lowest quality first, those without segments last."""

    def key(image_id: str) -> float:
        quality = tables.image_quality(image_id)[0]
        return math.inf if math.isnan(quality) else quality

    return sorted(tables.images, key=key)


def badness(segment: SegmentRecord) -> float:
    """What makes a segment one of the worst of its outcome: its pixels, or a match's low IoU."""
    if segment.verdict != "tp":
        return segment.area
    quality: Any = segment.iou if segment.part_iou is None else segment.part_iou
    return -quality


def css_colors(classes: Sequence[ClassInfo], palette: str) -> dict[int, str]:
    """The colour of each class in the pictures, by id."""
    categories = [{"color": info.color, "isthing": info.is_thing} for info in classes]
    colors = category_colors(categories, palette)
    return {info.id: "#{:02x}{:02x}{:02x}".format(*c) for info, c in zip(classes, colors)}


def _confusion(classes: list[ClassInfo], counts: np.ndarray) -> Confusion:
    """From counts `(C, C + 1)`, the last column void."""
    columns: list[ClassInfo | None] = [*classes, None]
    totals, num_classes = counts.sum(1), len(classes)

    def cell(row: int, column: int) -> Cell:
        count = int(counts[row, column])
        return Cell(classes[row], columns[column], count, count / max(int(totals[row]), 1))

    mixed = counts.copy()
    np.fill_diagonal(mixed, 0)
    weight = mixed.sum(1) + mixed[:, :num_classes].sum(0)
    present = [i for i in range(num_classes) if totals[i] or counts[:, i].any()]
    shown = sorted(sorted(present, key=lambda i: -weight[i])[:MOST_CONFUSED_CLASSES])
    shown_columns = [*shown, num_classes]
    order = np.argsort(-mixed, axis=None, kind="stable")[:_MOST_MIX_UPS]
    places = zip(*(axis.tolist() for axis in np.unravel_index(order, mixed.shape)))
    return Confusion(
        [columns[column] for column in shown_columns],
        [
            ConfusionRow(classes[row], [cell(row, column) for column in shown_columns])
            for row in shown
            if totals[row]
        ],
        len(present) - len(shown),
        [cell(*place) for place in places if mixed[place]],
    )

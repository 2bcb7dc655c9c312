"""The numbers that a page shows, from the tables of an evaluation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pps_torch.metrics.class_counts import ClassCounts, mean_qualities
from pps_torch.pipelines.evaluation_tables import ClassInfo, Tables
from pps_torch.visualization.colors import category_colors

MOST_CONFUSED_CLASSES = 32
_MOST_MIX_UPS = 12

_EMPTY = ClassCounts(0.0, 0, 0, 0)


class ClassRow(NamedTuple):
    """A class in the page's table.

    Attributes:
        info: the class.
        qualities: by name; those of a metric by whose rules the class has no segment are left out.
        tp, fp, fn: the counts of the metric that was evaluated.
    """

    info: ClassInfo
    qualities: dict[str, float]
    tp: int
    fp: int
    fn: int


class PartRow(NamedTuple):
    """A part, with the mean of its IoU over the matches that have it, and their number."""

    name: str
    iou: float
    count: int  # type: ignore[assignment]  # the name hides tuple.count


class Cell(NamedTuple):
    """How much ground truth of a class was predicted as another class, or as none (None)."""

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
        rows: the classes that the ground truth has. A share is a fraction of all ground truth of
            the class, what was predicted as a hidden class included.
        num_hidden: how many classes are hidden, as others are confused more.
        mix_ups: the largest counts of one class taken for another.
    """

    columns: list[ClassInfo | None]
    rows: list[ConfusionRow]
    num_hidden: int
    mix_ups: list[Cell]


def class_rows(tables: Tables) -> list[ClassRow]:
    """The rows of the classes that have any segment that counts."""
    counts = tables.class_counts
    rows = []
    for info in tables.classes:
        qualities = {
            quality: value
            for metric, class_counts in counts.items()
            if info.id in class_counts
            for quality, value in zip(quality_names(metric), class_counts[info.id].qualities())
        }
        if qualities:
            rows.append(ClassRow(info, qualities, *counts[tables.metric].get(info.id, _EMPTY)[1:]))
    return rows


def group_rows(tables: Tables) -> list[dict[str, Any]]:
    """The means over groups of classes: `label`, the qualities by name, and `n` of the metric."""
    means = {metric: group_means(tables, metric) for metric in tables.metrics}
    rows = []
    for label, (*_, n) in means[tables.metric].items():
        row: dict[str, Any] = {"label": label, "n": n}
        for metric in tables.metrics:
            row.update(zip(quality_names(metric), means[metric][label]))
        rows.append(row)
    return rows


def group_means(tables: Tables, metric: str) -> dict[str, tuple[float, float, float, int]]:
    """A metric, its SQ and RQ, and the number of classes, by the label of each group of classes."""
    groups = {
        "All classes": tables.classes,
        "Things": [info for info in tables.classes if info.is_thing],
        "Stuff": [info for info in tables.classes if not info.is_thing],
    }
    if tables.part_aware:
        groups["With parts"] = [info for info in tables.classes if info.parts]
        groups["Without parts"] = [info for info in tables.classes if not info.parts]
    counts = tables.class_counts[metric]
    return {
        label: mean_qualities(counts.get(info.id, _EMPTY) for info in classes)
        for label, classes in groups.items()
    }


def quality_names(metric: str) -> list[str]:
    """The names of a metric's qualities: `PQ, SQ, RQ`, or the same with Part."""
    return [metric.removesuffix("PQ") + name for name in ("PQ", "SQ", "RQ")]


def part_rows(tables: Tables) -> list[tuple[ClassInfo, list[PartRow]]]:
    """The parts of each class that has matched ones, background first."""
    ious: dict[tuple[int, int], list[float]] = defaultdict(list)
    for segments in tables.images.values():
        for segment in segments:
            for pid, iou in segment.part_ious.items():
                ious[segment.class_id, pid].append(iou)
    rows = []
    for info in tables.classes:
        names = {0: "background", **info.parts}
        unnamed = {pid: f"part {pid}" for sid, pid in ious if sid == info.id and pid not in names}
        parts = [
            PartRow(name, math.fsum(part_ious) / len(part_ious), len(part_ious))
            for pid, name in {**names, **unnamed}.items()
            if (part_ious := ious.get((info.id, pid)))
        ]
        if parts:
            rows.append((info, parts))
    return rows


def pixel_confusion(tables: Tables) -> Confusion:
    """Confusion of classes by the pixels of ground-truth segments, without crowd."""
    return _confusion(tables.classes, tables.confused_pixels)


def segment_confusion(tables: Tables) -> Confusion:
    """Confusion by ground-truth segments, without crowd, each taken for what covers it most."""
    place: dict[int | None, int] = {info.id: i for i, info in enumerate(tables.classes)}
    counts = np.zeros((len(place), len(place) + 1), np.int64)
    for segments in tables.images.values():
        for segment in segments:
            if segment.is_gt and segment.verdict != "crowd":
                counts[place[segment.class_id], place.get(segment.taken_for, -1)] += 1
    return _confusion(tables.classes, counts)


def images_by_quality(tables: Tables) -> list[str]:
    """All image ids, those of the lowest quality first, those without segments last."""

    def key(image_id: str) -> float:
        quality = tables.image_qualities[image_id][0]
        return math.inf if math.isnan(quality) else quality

    return sorted(tables.images, key=key)


def css_colors(classes: Sequence[ClassInfo], palette: str) -> dict[int, str]:
    """The colour of each class in the pictures, by id."""
    categories = [{"color": info.color, "isthing": info.is_thing} for info in classes]
    colors = category_colors(categories, palette)
    return {info.id: "#{:02x}{:02x}{:02x}".format(*c) for info, c in zip(classes, colors)}


def _confusion(classes: list[ClassInfo], counts: np.ndarray) -> Confusion:
    """Build a confusion from counts `(C, C + 1)`, whose last column is void."""
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

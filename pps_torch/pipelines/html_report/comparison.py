"""What changed from one evaluation to another of the same ground truth, by their tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pps_torch.io.errors import InputError
from pps_torch.metrics import SegmentRecord
from pps_torch.metrics.class_counts import ClassCounts
from pps_torch.pipelines.evaluation_tables import ClassInfo, Tables
from pps_torch.pipelines.html_report.summary import group_means

_EMPTY = ClassCounts(0.0, 0, 0, 0)


class Change(NamedTuple):
    """A quality before and after; nan where there is none."""

    before: float
    after: float

    @property
    def gain(self) -> float:
        """How much better it is; nan where one of the two has none."""
        return self.after - self.before

    @property
    def is_none(self) -> bool:
        """Whether the quality is the same, or there is none before and after."""
        return self.gain == 0 or (math.isnan(self.before) and math.isnan(self.after))


class GroupChange(NamedTuple):
    """The means over a group of classes: the metric, its SQ and its RQ."""

    label: str
    qualities: tuple[Change, Change, Change]


class ClassChange(NamedTuple):
    """A class that one of the evaluations has segments of; counts are before, after."""

    info: ClassInfo
    quality: Change
    tp: tuple[int, int]
    fp: tuple[int, int]
    fn: tuple[int, int]


class SegmentChange(NamedTuple):
    """A segment of the ground truth that became another verdict."""

    image_id: str
    info: ClassInfo
    before: SegmentRecord
    after: SegmentRecord

    @property
    def is_found(self) -> bool:
        """Whether it is matched now, and was not."""
        return self.after.verdict == "tp"

    @property
    def is_lost(self) -> bool:
        """Whether it was matched, and is not now."""
        return self.before.verdict == "tp"


class ImageChange(NamedTuple):
    """An image: its quality, the segments that changed, and its false positives."""

    image_id: str
    quality: Change
    segments: list[SegmentChange]
    fp: tuple[int, int]

    @property
    def changed_pixels(self) -> int:
        """The pixels of the segments that changed."""
        return sum(segment.before.area for segment in self.segments)


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same images.

    Args:
        before, after: their tables.

    Raises:
        InputError: they are of another metric, other rules, classes, images or ground truth.
    """

    before: Tables
    after: Tables

    def __post_init__(self) -> None:
        before, after = self.before, self.after
        for what, one, other in (
            ("metric", before.metric, after.metric),
            ("rules", before.inputs.get("rules", "coco"), after.inputs.get("rules", "coco")),
            ("classes", _classes_of(before), _classes_of(after)),
            ("images", sorted(before.images), sorted(after.images)),
        ):
            if one != other:
                raise _different(what, one, other)
        for image_id in before.images:
            one, other = (_ground_truth_of(t.images[image_id]) for t in (before, after))
            if one != other:
                raise _different(f"ground truth of image {image_id}", one, other)

    def groups(self) -> list[GroupChange]:
        """The means over the groups of classes that the page about one evaluation has."""
        before, after = (group_means(tables, tables.metric) for tables in (self.before, self.after))
        rows = []
        for label in after:
            pq, sq, rq = map(Change, before[label][:3], after[label][:3])
            rows.append(GroupChange(label, (pq, sq, rq)))
        return rows

    def classes(self) -> list[ClassChange]:
        """The classes that have any segment, those that gained most first."""
        counts = [tables.class_counts[tables.metric] for tables in (self.before, self.after)]
        rows = []
        for info in self.after.classes:
            one, other = (by_class.get(info.id, _EMPTY) for by_class in counts)
            if one.is_present or other.is_present:
                quality = Change(_quality(one), _quality(other))
                rows.append(ClassChange(info, quality, *zip(one[1:], other[1:])))
        return sorted(rows, key=lambda row: -_number(row.quality.gain))

    def images(self) -> list[ImageChange]:
        """The images in which anything changed, the most pixels of changed segments first."""
        infos = {info.id: info for info in self.after.classes}
        rows = []
        for image_id, before in self.before.images.items():
            after = self.after.images[image_id]
            segments = [
                SegmentChange(image_id, infos[one.class_id], one, other)
                for one, other in zip(_of_ground_truth(before), _of_ground_truth(after))
                if one.verdict != other.verdict
            ]
            if before == after:
                continue
            quality = Change(*(t.image_qualities[image_id][0] for t in (self.before, self.after)))
            fp = _num_false(before), _num_false(after)
            if segments or fp[0] != fp[1] or not quality.is_none:
                rows.append(ImageChange(image_id, quality, segments, fp))
        return sorted(rows, key=lambda row: (-row.changed_pixels, -abs(_number(row.quality.gain))))


def _of_ground_truth(segments: list[SegmentRecord]) -> Iterator[SegmentRecord]:
    return (segment for segment in segments if segment.is_gt)


def _num_false(segments: list[SegmentRecord]) -> int:
    return sum(segment.verdict == "fp" for segment in segments)


def _ground_truth_of(segments: list[SegmentRecord]) -> list[tuple[int, int, int | None, int]]:
    return [(s.index, s.class_id, s.instance, s.area) for s in _of_ground_truth(segments)]


def _classes_of(tables: Tables) -> list[tuple[int, str, str, dict[int, str]]]:
    """All that is said of the classes but their order and colours, by id."""
    classes = sorted(tables.classes, key=lambda info: info.id)
    return [(c.id, c.name, "thing" if c.is_thing else "stuff", c.parts) for c in classes]


def _quality(counts: ClassCounts) -> float:
    return counts.qualities()[0] if counts.is_present else math.nan


def _number(gain: float) -> float:
    return 0.0 if math.isnan(gain) else gain


def _different(what: str, one: object, other: object) -> InputError:
    """The error of evaluations that cannot be compared; of lists it has the first differences."""
    if isinstance(one, list) and isinstance(other, list):
        only = [
            x for a, b in ((one, other), (other, one)) for x in [y for y in a if y not in b][:1]
        ]
        found = f"{len(one)} and {len(other)}; in one of them alone: {', '.join(map(str, only))}"
    else:
        found = f"{one} and {other}"
    return InputError(f"expected evaluations with the same {what}, found {found}")

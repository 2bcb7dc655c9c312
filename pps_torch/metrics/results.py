"""Results of the metrics: the numbers of groups and classes, as attributes and in other forms."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pps_torch.metrics.class_counts import ClassCounts
from pps_torch.metrics.text_tables import percent, text_table

if TYPE_CHECKING:
    import pandas


class Loadable:
    """Base of what a result consists of: `torch.load` takes it with `weights_only=True`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        torch.serialization.add_safe_globals([cls])


class Result(Loadable, ABC):
    """The result of a metric, as `compute` returns it.

    Groups and classes are objects with the numbers as attributes, `result.all.pq` or
    `result.classes[26].tp`; qualities are fractions 0..1. nan stands where there is no quality: in
    a group without classes, and for a class without segments or pixels. `print(result)` shows the
    table.

    Two results are equal if they are of one metric and all their numbers are; nan equals nan.

    Attributes:
        all: the means over all classes.
        classes: the numbers of each class, by category id or scene id.
    """

    all: Any
    classes: Mapping[int, Any]

    @property
    @abstractmethod
    def value(self) -> float:
        """The one number that the metric is named after, a fraction 0..1."""

    @property
    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The means by the keys of the reference implementation."""

    @property
    def per_class(self) -> dict[int, dict[str, Any]]:
        """The numbers of each class by the keys of the reference implementation."""
        return {class_id: numbers.row() for class_id, numbers in self.classes.items()}

    @abstractmethod
    def table(self) -> str:
        """Aligned text, in per cent: the means, then each class that is present."""

    @abstractmethod
    def flat(self) -> dict[str, float]:
        """One number for each key, as loggers want it: `{"PQ/all": 0.5, "PQ/person": 0.4, ...}`.

        A key is a quality and the name of a group or of a class. Where classes share a name, or
        have that of a group, their ids follow: `"PQ/all (7)"`. So no number is lost, and the keys
        are the same for every result of a metric; what has no quality is nan.
        """

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: `summary` and `per_class`; keys are strings, nan is None."""
        return without_nan({"summary": self.summary, "per_class": self.per_class})

    def to_pandas(self) -> pandas.DataFrame:
        """A `pandas.DataFrame` of the classes: a row each, by id; columns named as the attributes.

        Raises:
            ImportError: without pandas.
        """
        return data_frame(self.classes)

    def __str__(self) -> str:
        return self.table()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.as_dict() == other.as_dict()


@dataclass(frozen=True)
class QualityMean(Loadable):
    """PQ or PartPQ of a group: means over its classes that have any TP, FP or FN.

    Attributes:
        pq, sq, rq: fractions 0..1; nan where n is 0.
        n: number of classes in the means.
    """

    pq: float
    sq: float
    rq: float
    n: int

    def row(self) -> dict[str, float]:
        """The numbers by the keys of a PQ's `summary`."""
        return {"PQ": self.pq, "SQ": self.sq, "RQ": self.rq, "n": self.n}


@dataclass(frozen=True)
class ClassQuality(Loadable):
    """PQ or PartPQ of a class.

    Attributes:
        name: of the class.
        pq, sq, rq: fractions 0..1; nan for a class without any segment, which is in no mean.
        iou_sum: sum of the IoUs that the matches count with.
        tp, fp, fn: numbers of matches, and of unmatched segments of prediction and ground truth.
    """

    name: str
    pq: float
    sq: float
    rq: float
    iou_sum: float
    tp: int
    fp: int
    fn: int

    @property
    def counts(self) -> ClassCounts:
        """The sums from which the qualities follow."""
        return ClassCounts(self.iou_sum, self.tp, self.fp, self.fn)

    def row(self) -> dict[str, Any]:
        """The numbers by the keys of a PQ's `per_class`; 0 for a class without segments."""
        pq, sq, rq = self.counts.qualities()
        return {"name": self.name, "PQ": pq, "SQ": sq, "RQ": rq, **self.counts._asdict()}


def quality_fields(counts: ClassCounts, prefix: str = "") -> dict[str, Any]:
    """The fields of a `ClassQuality` but its name, from the counts."""
    pq, sq, rq = counts.qualities() if counts.is_present else (math.nan,) * 3
    iou_sum, tp, fp, fn = counts
    fields = dict(pq=pq, sq=sq, rq=rq, iou_sum=iou_sum, tp=tp, fp=fp, fn=fn)
    return {prefix + name: value for name, value in fields.items()}


class QualityResult(Result):
    """The results of PQ and its kin: three groups, each a `QualityMean`."""

    all: QualityMean
    classes: Mapping[int, ClassQuality]

    #: The groups, and what the table calls them.
    _GROUPS: ClassVar[Mapping[str, str]]
    #: The qualities, and what the table and `flat` call them.
    _QUALITIES: ClassVar[Mapping[str, str]]

    @property
    def value(self) -> float:
        """PQ of all classes; see the metric."""
        return self.all.pq

    def table(self) -> str:
        """Aligned text, in per cent: the groups, then each class that is present."""
        return self._tables(self._QUALITIES)

    def flat(self) -> dict[str, float]:
        """One number for each key, see [`Result.flat`][pps_torch.metrics.results.Result.flat]."""
        return self._flat(self._QUALITIES)

    def groups(self) -> dict[str, Any]:
        """The groups by their names."""
        return {group: getattr(self, group) for group in self._GROUPS}

    def _flat(self, qualities: Mapping[str, str]) -> dict[str, float]:
        return flat_numbers(qualities, self.groups(), qualities, self.classes)

    def _tables(self, qualities: Mapping[str, str], prefix: str = "") -> str:
        """Two tables: some qualities of groups and classes, and the counts behind them."""
        groups = [
            (label, *(percent(getattr(mean, quality)) for quality in qualities), mean.n)
            for label, mean in zip(self._GROUPS.values(), self.groups().values())
        ]
        classes = [
            (
                c.name,
                *(percent(getattr(c, quality)) for quality in qualities),
                *(getattr(c, prefix + count) for count in ("tp", "fp", "fn")),
            )
            for c in self.classes.values()
            if c.counts.is_present
        ]
        names = qualities.values()
        tables = (("", *names, "n"), groups), (("class", *names, "TP", "FP", "FN"), classes)
        return "\n\n".join(text_table(*table) for table in tables)


def flat_numbers(
    group_keys: Mapping[str, str],
    groups: Mapping[str, Any],
    class_keys: Mapping[str, str],
    classes: Mapping[int, Any],
) -> dict[str, float]:
    """Attributes of groups and classes by keys such as `"PQ/all"`.

    Args:
        group_keys, class_keys: attribute -> the first half of its key.
        groups: by name.
        classes: by id; each has a `name`.
    """
    labels = unique_labels({number: c.name for number, c in classes.items()}, groups)
    named_classes = {labels[number]: c for number, c in classes.items()}
    return {
        f"{key}/{name}": getattr(numbers, attribute)
        for keys, members in ((group_keys, groups), (class_keys, named_classes))
        for name, numbers in members.items()
        for attribute, key in keys.items()
    }


def unique_labels(names: Mapping[int, str], taken: Collection[str]) -> dict[int, str]:
    """A label for each class: its name, followed by its id where that is not unique.

    Args:
        names: by class id.
        taken: labels that no class may have.
    """
    labels = dict(names)
    while True:
        number_of = Counter(labels.values())
        clashes = [i for i, label in labels.items() if label in taken or number_of[label] > 1]
        if not clashes:
            return labels
        labels.update({i: f"{labels[i]} ({i})" for i in clashes})


def data_frame(classes: Mapping[int, Any]) -> pandas.DataFrame:
    """A row for each class, by id; raises ImportError without pandas."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install pandas") from error
    index = pandas.Index(classes.keys(), name="id")
    return pandas.DataFrame([vars(numbers) for numbers in classes.values()], index)


def without_nan(values: Mapping[Any, Any]) -> dict[str, Any]:
    """A copy of nested dicts and lists with None for nan, which JSON cannot write."""
    return {str(key): _without_nan(value) for key, value in values.items()}


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return without_nan(value)
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value

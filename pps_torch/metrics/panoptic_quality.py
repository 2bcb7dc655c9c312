"""Panoptic quality (PQ, SQ, RQ).

PQ of a class is the sum of the IoUs of its matches over `TP + FP / 2 + FN / 2`; SQ is that sum
over TP, RQ the rest (arXiv 1801.00868). Averages run over the classes that have any TP, FP
or FN.

Parity: counts equal those of panopticapi's `pq_compute` (COCO; the Cityscapes script matches by
the same rules) and qualities agree to 1e-9, with two deliberate differences. The area of a
ground-truth segment is counted in the map, where panopticapi takes it from the JSON file. An
empty group (no things, say) has quality nan, where panopticapi divides by zero. The rules of other
implementations have names, see [`panoptic_rules`][pps_torch.metrics.panoptic_rules].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from pps_torch.checks import (
    check_bool,
    check_device,
    check_integer,
    check_ndim,
    check_shape,
)
from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.categories import named_categories
from pps_torch.formats.panoptic import check_container
from pps_torch.formats.unknown_categories import question_about_ids
from pps_torch.metrics.class_counts import mean_qualities
from pps_torch.metrics.comparisons import SegmentComparison, check_run_lengths
from pps_torch.metrics.panoptic_rules import (
    PanopticRules,
    allowed_classes,
    find_rules,
    match_by_rules,
    merge_stuff,
)
from pps_torch.metrics.results import ClassQuality, QualityMean, QualityResult, quality_fields
from pps_torch.metrics.segment_metric import SegmentMetric
from pps_torch.ops.scoring.count_segments import count_segments
from pps_torch.ops.scoring.segment_table import SegmentTable, count_faults, segment_table
from pps_torch.specs import EvalSpec

_UNKNOWN = (
    "segments of pred of an unknown category",
    "segments of target of an unknown category",
)
_FAULTS = (
    "pixels of pred with a segment id that has no row in its table",
    "pixels of target with a segment id that has no row in its table",
    *_UNKNOWN,
)


@dataclass(frozen=True)
class PanopticClass(ClassQuality):
    """PQ of a class.

    Attributes:
        name, pq, sq, rq, iou_sum, tp, fp, fn: see
            [`ClassQuality`][pps_torch.metrics.results.ClassQuality].
        is_thing: whether it is a class of things.
    """

    is_thing: bool

    def row(self) -> dict[str, Any]:
        """The numbers by the keys of `per_class`; 0 for a class without segments."""
        row = super().row()
        return {"name": row.pop("name"), "isthing": int(self.is_thing), **row}


@dataclass(frozen=True, eq=False)
class PanopticQualityResult(QualityResult):
    """Panoptic quality of a data set; all qualities are fractions 0..1.

    `value` is `all.pq`.

    Attributes:
        all, things, stuff: the means over the classes of a group with any TP, FP or FN: `pq, sq,
            rq`, and their number `n`; an n of 0 comes with nan.
        classes: by category id: `name, is_thing, pq, sq, rq, iou_sum, tp, fp, fn`. A class without
            any segment has qualities nan and is in no mean.
    """

    all: QualityMean
    things: QualityMean
    stuff: QualityMean
    classes: Mapping[int, PanopticClass]

    _GROUPS = {"all": "All", "things": "Things", "stuff": "Stuff"}
    _QUALITIES = {"pq": "PQ", "sq": "SQ", "rq": "RQ"}

    @classmethod
    def of_classes(cls, classes: Mapping[int, PanopticClass]) -> PanopticQualityResult:
        """The result of classes, with the means over them."""
        means = {
            group: QualityMean(*mean_qualities(c.counts for c in members))
            for group, members in class_groups(classes).items()
        }
        return cls(**means, classes=classes)

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """The means by panopticapi's keys: `{"All" | "Things" | "Stuff": {"PQ", "SQ", "RQ", "n"}}`.

        n is the number of classes in the mean, and an n of 0 comes with nan.
        """
        return {self._GROUPS[group]: mean.row() for group, mean in self.groups().items()}

    @property
    def per_class(self) -> dict[int, dict[str, Any]]:
        """By category id `name, isthing, PQ, SQ, RQ, iou, tp, fp, fn`; iou is a sum.

        As in panopticapi a class without any segment has qualities 0; it is in no mean.
        """
        return super().per_class


SelfPanopticQuality = TypeVar("SelfPanopticQuality", bound="PanopticQuality")


class PanopticQuality(SegmentMetric):
    """Panoptic quality (PQ), accumulated over batches on the device of its state.

    Segments of a class match where their IoU is above one half. Over the whole data set

        PQ = sum of the IoUs of the matches / (TP + FP / 2 + FN / 2)
        SQ = sum of the IoUs of the matches / TP
        RQ = TP / (TP + FP / 2 + FN / 2)

    for each class, with TP matches, FP unmatched predictions and FN unmatched segments of the
    ground truth; then the mean over the classes that have any of these.

    Args:
        categories: COCO category dicts (`id`, `name`, `isthing`), or an
            `EvalSpec`, whose scene classes are the categories.
        rules: whose PQ it is: `"coco"`, `"cityscapes"`, `"panopticapi"`, `"panoptic_parts"`,
            `"torchmetrics"`, `"deeplab2"` or `"deeplab2_labels"`, or a `PanopticRules`. Numbers by
            different rules do not compare; the first two are what is published.
        validate: look for bad ids at once, and raise at the update that meets them; None does so
            where it waits for no device, on the CPU; by default such pixels and segments are
            counted, and `compute` raises. Either way the state is spoilt until `reset`.
        backend: `"torch"`, `"triton"` or `"auto"`, which is Triton on CUDA; the same bits.

    Raises:
        TypeError: for a category id that is no integer.
        ValueError: for a category without those keys, a negative category id or one twice, or
            other rules or another backend.
        RuntimeError: at an update that `"triton"` cannot run.

    Example:
        A person of four pixels of whom three are found, IoU 0.75, and a car that is not there:

        >>> import torch
        >>> metric = PanopticQuality([{"id": 1, "name": "person", "isthing": 1},
        ...                           {"id": 3, "name": "car", "isthing": 1}])
        >>> segments = [{"id": 1, "category_id": 1}, {"id": 2, "category_id": 3}]
        >>> pred_ids, target_ids = torch.tensor([[1, 1, 1, 0, 2]]), torch.tensor([[1, 1, 1, 1, 3]])
        >>> pred = PanopticSegmentation.from_segments(pred_ids, segments)
        >>> target = PanopticTarget.from_segments(
        ...     target_ids, [{"id": 1, "category_id": 1}, {"id": 3, "category_id": 1}])
        >>> result = metric.update(pred, target).compute()
        >>> person = result.classes[1]
        >>> person.iou_sum, person.tp, person.fp, person.fn
        (0.75, 1, 0, 1)
        >>> person.pq, result.classes[3].pq, result.all.pq  # 0.75 / (1 + 1/2), 0, their mean
        (0.5, 0.0, 0.25)
    """

    category_ids: Tensor
    is_stuff_class: Tensor

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        rules: str | PanopticRules = "coco",
        validate: bool | None = False,
        backend: str = "auto",
    ) -> None:
        rules, categories = find_rules(rules), named_categories(categories)
        ids = [category["id"] for category in categories]
        is_thing = tuple(bool(category["isthing"]) for category in categories)
        super().__init__(ids, (is_thing, rules), _FAULTS, validate, backend)
        self.rules, self.categories = rules, categories
        self._hold_tables(
            category_ids=torch.tensor(ids, dtype=torch.int64, device="cpu"),
            is_stuff_class=~torch.tensor(is_thing, dtype=torch.bool, device="cpu"),
        )

    def update(
        self: SelfPanopticQuality,
        pred: PanopticSegmentation | list[PanopticSegmentation],
        target: PanopticTarget | list[PanopticTarget],
    ) -> SelfPanopticQuality:
        """Count a batch of images, or a list of images, which may differ in size.

        Where an image of a list raises, those before it stay counted.

        Args:
            pred: `panoptic_seg (*B, H, W)` and `category_ids (*B, S)` are used.
            target: a `PanopticTarget` of the same batch and size (its own capacity).

        Returns:
            self.

        Raises:
            TypeError, ValueError: for a wrong dtype, shape or device, naming the argument.
            ValueError: for bad ids, as `validate` says.
            RuntimeError: if the state already holds all processes.
        """
        self._check_may_count("update")
        if isinstance(pred, list) or isinstance(target, list):
            return self._update_each(pred, target)
        if not self._matches_as_counted():
            return self.add(self.compare(pred, target))
        self._check(pred, target)
        return self._count(pred, target, None)

    def update_runs(
        self: SelfPanopticQuality,
        pred: PanopticSegmentation,
        target: PanopticTarget,
        lengths: Tensor,
    ) -> SelfPanopticQuality:
        """Count a batch of maps of runs; arguments and errors as for `compare_runs` and `update`.

        Returns:
            self.
        """
        self._check_may_count("update_runs")
        if not self._matches_as_counted():
            return self.add(self.compare_runs(pred, target, lengths))
        self._check(pred, target)
        check_run_lengths(lengths, target.panoptic_seg)
        return self._count(pred, target, lengths)

    def compare(self, pred: PanopticSegmentation, target: PanopticTarget) -> SegmentComparison:
        """Compare the segments of a batch and count nothing; arguments, errors as for `update`."""
        self._check(pred, target)
        return self._compare(pred, target)

    def compare_runs(
        self, pred: PanopticSegmentation, target: PanopticTarget, lengths: Tensor
    ) -> SegmentComparison:
        """Compare the segments of a batch of maps of runs, and count nothing; `add` counts.

        What is the same in both maps for many pixels is one entry here: images that are decoded or
        stored as runs need no maps of pixels.

        Args:
            pred, target: as for `update`; each entry of `panoptic_seg` stands for a run of pixels,
                in any order.
            lengths: int64, the shape of `panoptic_seg`: the pixels of each run, 0 for none.

        Raises:
            TypeError, ValueError: as for `update`; on the CPU for negative lengths, and for those
                of 2**30 pixels or more together.

        Example:
            >>> metric = PanopticQuality([{"id": 1, "name": "person", "isthing": 1}])
            >>> segments = [{"id": 1, "category_id": 1}]
            >>> pred = PanopticSegmentation.from_segments(torch.tensor([[1, 0]]), segments)
            >>> target = PanopticTarget.from_segments(torch.tensor([[1, 1]]), segments)
            >>> comparison = metric.compare_runs(pred, target, torch.tensor([[3, 1]]))
            >>> metric.add(comparison).compute().classes[1].iou_sum  # 3 of 4 pixels
            0.75
        """
        self._check(pred, target)
        check_run_lengths(lengths, target.panoptic_seg)
        maps = _flat(pred, target)
        return self._compared(
            segment_table(
                *maps,
                self.category_ids,
                lengths=lengths.reshape(maps[0].shape),
                backend=self.backend,
            )
        )

    def compute(self) -> PanopticQualityResult:
        """Compute the qualities of everything counted so far.

        Raises:
            ValueError: if updates had bad segment ids or unknown categories, with numbers.
        """
        classes = {
            category["id"]: PanopticClass(
                name=category["name"], is_thing=bool(category["isthing"]), **quality_fields(counts)
            )
            for category, counts in zip(self.categories, self.class_counts())
        }
        return PanopticQualityResult.of_classes(classes)

    def segment_maps(
        self, pred: PanopticSegmentation, target: PanopticTarget
    ) -> tuple[Tensor, Tensor]:
        """Maps of the segments, by the `index` of their records; counts nothing.

        Args:
            pred, target: as for `update`; errors as there.

        Returns:
            the segment ids of prediction and ground truth, `(*B, H, W)`, 0 is void. Where the rules
            take all stuff of a class as one segment, the maps still have them apart.
        """
        self._check(pred, target)
        return pred.panoptic_seg, target.panoptic_seg

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "rules": self.rules}

    def _question(self, faults: Mapping[str, int], *inputs: Any) -> str:
        if not any(faults[name] for name in _UNKNOWN):
            return ""
        return question_about_ids(self.class_ids, *(value.category_ids for value in inputs))

    def _check(self, pred: PanopticSegmentation, target: PanopticTarget) -> None:
        """Raise TypeError or ValueError for a wrong dtype, shape or device."""
        for name, value, kind in (
            ("pred", pred, PanopticSegmentation),
            ("target", target, PanopticTarget),
        ):
            check_container(name, value, kind)
            check_integer(f"{name}.panoptic_seg", value.panoptic_seg)
            check_ndim(f"{name}.panoptic_seg", value.panoptic_seg, 2, "(*B, H, W)")
            check_integer(f"{name}.category_ids", value.category_ids)
            capacity = value.category_ids.shape[-1:]
            batch = value.panoptic_seg.shape[:-2]
            check_shape(f"{name}.category_ids", value.category_ids, (*batch, *capacity))
            check_device(f"{name}.panoptic_seg", value.panoptic_seg, self.class_sums)
            check_device(f"{name}.category_ids", value.category_ids, self.class_sums)
        check_shape("target.panoptic_seg", target.panoptic_seg, tuple(pred.panoptic_seg.shape))
        check_bool("target.is_crowd", target.is_crowd)
        check_shape("target.is_crowd", target.is_crowd, tuple(target.category_ids.shape))
        check_device("target.is_crowd", target.is_crowd, self.class_sums)

    def _matches_as_counted(self) -> bool:
        """Whether one operation matches and counts; a subclass may compare or add otherwise."""
        return type(self) is PanopticQuality and self.rules.match_as_counted

    def _count(
        self: SelfPanopticQuality,
        pred: PanopticSegmentation,
        target: PanopticTarget,
        lengths: Tensor | None,
    ) -> SelfPanopticQuality:
        maps = _flat(pred, target)
        count_segments(
            self.class_sums,
            self.faults,
            *maps,
            self.category_ids,
            last_crowd_only=self.rules.crowds == "last_of_class",
            lengths=None if lengths is None else lengths.reshape(maps[0].shape),
            backend=self.backend,
        )
        self._look_at_faults(pred, target)
        return self

    def _compare(self, pred: PanopticSegmentation, target: PanopticTarget) -> SegmentComparison:
        maps = _flat(pred, target)
        return self._compared(segment_table(*maps, self.category_ids, backend=self.backend))

    def _compared(self, table: SegmentTable) -> SegmentComparison:
        pairs, gt_class, pred_class, is_crowd = table
        gt_class = allowed_classes(gt_class, is_crowd, self.rules)
        table = SegmentTable(pairs, gt_class, pred_class, is_crowd)
        if self.rules.crowds == "instance":
            is_crowd = torch.zeros_like(is_crowd)
        if self.rules.merges_stuff:
            pairs = merge_stuff(pairs, gt_class, pred_class, self.is_stuff_class)
        matches = match_by_rules(
            pairs, gt_class, pred_class, is_crowd, self.rules, backend=self.backend
        )
        return SegmentComparison(
            pairs=pairs,
            matches=matches,
            scores=matches.iou,
            gt_class=gt_class,
            pred_class=pred_class,
            is_crowd=is_crowd,
            faults=count_faults(table, matches, backend=self.backend),
            class_ids=self.class_ids,
            rules=self._rules_text,
            parts=None,
            boundaries=None,
        )


def _flat(
    pred: PanopticSegmentation, target: PanopticTarget
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Maps `(B, H * W)`, categories and crowds `(B, S)`, in the order of `count_segments`."""
    *batch, height, width = pred.panoptic_seg.shape
    num_images, num_rows = math.prod(batch), target.category_ids.shape[-1]
    return (
        target.panoptic_seg.reshape(num_images, height * width),
        pred.panoptic_seg.reshape(num_images, height * width),
        target.category_ids.reshape(num_images, num_rows),
        pred.category_ids.reshape(num_images, pred.category_ids.shape[-1]),
        target.is_crowd.reshape(num_images, num_rows),
    )


SomeClass = TypeVar("SomeClass", bound=PanopticClass)


def class_groups(classes: Mapping[int, SomeClass]) -> dict[str, list[SomeClass]]:
    """The classes of each group that has a mean: all, things and stuff."""
    members = list(classes.values())
    things, stuff = ([c for c in members if c.is_thing is kind] for kind in (True, False))
    return {"all": members, "things": things, "stuff": stuff}

"""Part-aware panoptic quality (PartPQ).

PartPQ of a scene class is the sum, over its matches, of their part IoU over `TP + FP / 2 + FN /
2` (arXiv 2106.06351). Segments match as in PQ, on their whole masks. The part IoU of a match is
the mean IoU over every part label that is present in the ground truth or in the prediction,
background 0 included, over all pixels but void, crowd and the segment's pixels of undefined part;
a predicted void part is no label, but its pixels count against the others. For a class without
parts it is the mask IoU.

What is crowd: ground-truth things without instance id, and segments of a class with parts that
have no part label at all. Segments are told apart by instance id, stuff too.

Parity: counts equal those of panoptic_parts 2.0 and qualities agree to 1e-9, with deliberate
differences where it fails: an empty group is nan (it divides by zero); explicit part 0 works for
PASCAL (it stops); a part that the spec ignores is undefined (it keeps the data set's number); and
dataset ids may differ from evaluation ids (it takes them as equal).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pps_torch.checks import check_int
from pps_torch.metrics.class_counts import mean_qualities
from pps_torch.metrics.comparisons import (
    PartComparison,
    SegmentComparison,
    check_comparison,
    check_run_lengths,
)
from pps_torch.metrics.former_names import accept_former_names
from pps_torch.metrics.pps_and_uids import check_pps_and_uids, flat_uids_and_pps
from pps_torch.metrics.results import (
    ClassQuality,
    QualityMean,
    QualityResult,
    quality_fields,
)
from pps_torch.metrics.segment_metric import SegmentMetric
from pps_torch.metrics.segment_records import part_segment_maps
from pps_torch.metrics.text_tables import unknown_lines
from pps_torch.ops.scoring.compare_part_segments import compare_part_segments
from pps_torch.ops.scoring.contract import (
    PIXEL_FAULTS,
    SEGMENT_FAULTS,
    PixelRules,
    PixelTables,
)
from pps_torch.ops.scoring.count_part_segments import count_part_segments
from pps_torch.specs import EvalSpec, check_eval_spec
from pps_torch.specs.lookups import dataset_lookups

#: What the keys of a group in `summary` end in, and its number of classes there.
_SUMMARY_KEYS = {"all": ("", "n"), "parts": ("_parts", "n_p"), "noparts": ("_noparts", "n_np")}


@dataclass(frozen=True)
class PartPanopticClass(ClassQuality):
    """PartPQ of a class.

    Attributes:
        name, pq, sq, rq, iou_sum, tp, fp, fn: see
            [`ClassQuality`][pps_torch.metrics.results.ClassQuality]; they are PartPQ, PartSQ and
            PartRQ.
        has_parts: whether its matches count with the IoU of their parts.
    """

    has_parts: bool

    def row(self) -> dict[str, Any]:
        """The numbers by the keys of `per_class`; 0 for a class without segments."""
        pq, sq, rq = self.counts.qualities()
        qualities = {"PartPQ": pq, "PartSQ": sq, "PartRQ": rq}
        return {
            "name": self.name,
            "has_parts": self.has_parts,
            **qualities,
            **self.counts._asdict(),
        }


@dataclass(frozen=True, eq=False)
class PartPanopticQualityResult(QualityResult):
    """Part-aware panoptic quality of a data set; all qualities are fractions 0..1.

    The attributes are called as those of a PQ, so that code takes either: here `pq`, `sq`, `rq` are
    PartPQ, PartSQ and PartRQ. `value` is `all.pq`.

    Attributes:
        all, parts, noparts: the means over all classes, those with parts and the others, as far as
            they have any TP, FP or FN: `pq, sq, rq`, and their number `n`; an n of 0 comes with
            nan.
        classes: by scene id: `name, has_parts, pq, sq, rq, iou_sum, tp, fp, fn`. A class without
            any segment has qualities nan and is in no mean.
        unknown_pixels: predicted pixels with a scene id that is neither a class of the spec nor
            a void label (0, 255, the spec's ignore_label); they were taken as void.
        unknown_gt_pixels: ground-truth pixels with a scene id that the data set does not have; they
            were taken as void, too.
    """

    all: QualityMean
    parts: QualityMean
    noparts: QualityMean
    classes: Mapping[int, PartPanopticClass]
    unknown_pixels: int
    unknown_gt_pixels: int

    _GROUPS = {"all": "All", "parts": "Parts", "noparts": "No parts"}
    _QUALITIES = {"pq": "PartPQ", "sq": "PartSQ", "rq": "PartRQ"}

    @property
    def summary(self) -> dict[str, float]:
        """The means by panoptic_parts' keys.

        `PartPQ, PartSQ, PartRQ, n` over all classes; the same with `_parts` (and `n_p`) over
        classes with parts and `_noparts` (and `n_np`) over the others. An n of 0 comes with nan.
        """
        summary: dict[str, float] = {}
        for group, (suffix, n) in _SUMMARY_KEYS.items():
            mean: QualityMean = getattr(self, group)
            qualities = {"PartPQ": mean.pq, "PartSQ": mean.sq, "PartRQ": mean.rq}
            summary.update({key + suffix: value for key, value in qualities.items()})
            summary[n] = mean.n
        return summary

    @property
    def per_class(self) -> dict[int, dict[str, Any]]:
        """By scene id `name, has_parts, PartPQ, PartSQ, PartRQ, iou, tp, fp, fn`; iou is a sum.

        As in panoptic_parts a class without any segment has qualities 0; it is in no mean.
        """
        return super().per_class

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: `summary`, `per_class`, unknown pixels; keys are strings, nan is None."""
        unknown = {
            "unknown_pixels": self.unknown_pixels,
            "unknown_gt_pixels": self.unknown_gt_pixels,
        }
        return {**super().as_dict(), **unknown}

    def table(self) -> str:
        """Aligned text, in per cent: the groups, then each class that is present."""
        unknown = unknown_lines(self.unknown_gt_pixels, self.unknown_pixels)
        return "\n\n".join([super().table(), *unknown])


class PartPanopticQuality(SegmentMetric):
    """Part-aware panoptic quality (PartPQ), accumulated over batches on the device of its state.

    As PQ, but a match of a class with parts counts with the mean IoU over its parts. Over the whole
    data set

        PartPQ = sum of the part IoUs of the matches / (TP + FP / 2 + FN / 2)
        PartSQ = sum of the part IoUs of the matches / TP
        PartRQ = TP / (TP + FP / 2 + FN / 2)

    for each class; then the mean over the classes with any of these. The part IoU of a match is

        sum over its part labels of (pixels with the label in both / pixels with it in either)
        / number of part labels that are present in either

    with background among the labels, or the IoU of the masks where the class has no parts.

    Args:
        spec: the `EvalSpec` that maps the ground truth's ids and names the classes.
        capacity: highest instance id in the maps, and the most segments of an image in either
            map. Beyond it, `compute` raises.
        validate: look for bad ids at once, and raise at the update that meets them; None does so
            where it waits for no device, on the CPU; by default such pixels and segments are
            counted, and `compute` raises. Either way the state is spoilt until `reset`.
        backend: `"torch"`, `"triton"` or `"auto"`, which is Triton on CUDA; the same bits.

    Raises:
        TypeError: for a capacity that is not an int.
        ValueError: for a capacity below 1 or above what fits in 32 bits, or another backend.
        RuntimeError: at an update that `"triton"` cannot run.

    Example:
        A road (7) and a car (26) are found, but one of the car's three pixels has part 2 instead
        of 5. Parts 2 and 5 have one pixel in both maps and two in either, IoU 1/2; background, all
        around the car, is the same in both, IoU 1.

        >>> import torch
        >>> metric = PartPanopticQuality(EvalSpec.load("cpp_default"))
        >>> uids = torch.tensor([[7, 26_001_02, 26_001_05, 26_001_05]])
        >>> pps = torch.tensor([[[7, 26, 26, 26]], [[0, 1, 1, 1]], [[1, 2, 5, 2]]])
        >>> result = metric.update(pps, uids).compute()
        >>> car = result.classes[26]
        >>> round(car.iou_sum, 3), car.tp, car.fp, car.fn  # (1/2 + 1/2 + 1) / 3
        (0.667, 1, 0, 0)
        >>> road = result.classes[7]
        >>> round(car.pq, 3), road.pq, round(result.all.pq, 3)  # 2/3, 1, their mean
        (0.667, 1.0, 0.833)
    """

    group_of_sid: Tensor
    is_thing_group: Tensor
    class_of_group: Tensor
    part_of_sid_pid: Tensor
    class_of_eval_sid: Tensor
    has_parts_class: Tensor
    unknown_pixels: Tensor
    unknown_gt_pixels: Tensor

    def __init__(
        self,
        spec: EvalSpec,
        *,
        capacity: int = 1024,
        validate: bool | None = False,
        backend: str = "auto",
    ) -> None:
        check_eval_spec("spec", spec)
        check_int("capacity", capacity, 1)
        faults = (*PIXEL_FAULTS, *SEGMENT_FAULTS)
        fault_names = tuple(name.format(capacity=capacity) for name in faults)
        super().__init__(spec.eval_sids, _rules(spec), fault_names, validate, backend)
        self._add_state("unknown_pixels")
        self._add_state("unknown_gt_pixels", first_layout=2)
        self.spec = spec
        self.capacity = capacity
        lookups = dataset_lookups(spec, torch.device("cpu"))
        class_of_group = lookups.class_of_group
        if capacity > (highest := highest_capacity(spec)):
            expected = f"1..{highest} for a spec of {len(spec.eval_sids)} classes"
            raise ValueError(f"capacity: expected {expected}, found {capacity}")
        self._hold_tables(
            group_of_sid=lookups.group_of_sid,
            is_thing_group=lookups.is_thing_class[class_of_group],
            part_of_sid_pid=lookups.part_of_sid_pid,
            class_of_eval_sid=lookups.class_of_eval_sid,
            has_parts_class=lookups.has_parts_class,
            class_of_group=class_of_group,
        )

    @accept_former_names(pps="pred", gt_uids="target")
    def update(
        self, pred: Tensor | list[Tensor], target: Tensor | list[Tensor]
    ) -> PartPanopticQuality:
        """Count a batch of images, or a list of images, which may differ in size.

        Where an image of a list raises, those before it stay counted.

        Args:
            pred: the PPS maps, `(*B, 3, H, W)`, any integer dtype: `[scene class, instance, part]`
                with evaluation ids. Scene ids that the spec does not know are void, as in
                panoptic_parts; the result says how many pixels have one. Formerly `pps`, a name
                that is accepted still.
            target: `(*B, H, W)`, any integer dtype: uids with the data set's ids. Scene ids that
                the data set does not have are void and counted likewise. Formerly `gt_uids`,
                accepted still.

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
        # A subclass may compare or add in another way.
        if type(self) is not PartPanopticQuality:
            return self.add(self.compare(pred, target))
        check_pps_and_uids(pred, target, self.class_sums)
        uids, pps = flat_uids_and_pps(pred, target)
        count_part_segments(
            self.class_sums,
            self.faults,
            self.unknown_gt_pixels,
            self.unknown_pixels,
            uids,
            pps,
            self.pixel_rules(),
            backend=self.backend,
        )
        self._look_at_faults()
        return self

    def update_runs(self, pred: Tensor, target: Tensor, lengths: Tensor) -> PartPanopticQuality:
        """Count a batch of maps of runs; arguments and errors as for `compare_runs` and `update`.

        Returns:
            self.
        """
        self._check_may_count("update_runs")
        return self.add(self.compare_runs(pred, target, lengths))

    @accept_former_names(pps="pred", gt_uids="target")
    def compare(self, pred: Tensor, target: Tensor) -> SegmentComparison:
        """Compare the segments of a batch and count nothing; arguments, errors as for `update`."""
        check_pps_and_uids(pred, target, self.class_sums)
        return self._compare(*flat_uids_and_pps(pred, target))

    def compare_runs(self, pred: Tensor, target: Tensor, lengths: Tensor) -> SegmentComparison:
        """Compare the segments of a batch of maps of runs, and count nothing; `add` counts.

        Args:
            pred, target: as for `update`; each pixel of the maps stands for a run of pixels, in any
                order.
            lengths: int64, the shape of `target`: the pixels of each run, 0 for none.

        Raises:
            TypeError, ValueError: as for `update`; on the CPU for negative lengths, and for those
                of 2**30 pixels or more together.
        """
        check_pps_and_uids(pred, target, self.class_sums)
        check_run_lengths(lengths, target)
        uids, pps = flat_uids_and_pps(pred, target)
        return self._compare(uids, pps, lengths.reshape(uids.shape))

    def _compare(
        self, uids: Tensor, pps: Tensor, lengths: Tensor | None = None
    ) -> SegmentComparison:
        found = compare_part_segments(
            uids, pps, self.pixel_rules(), lengths=lengths, backend=self.backend
        )
        return SegmentComparison(
            pairs=found.pairs,
            matches=found.matches,
            scores=found.scores,
            gt_class=found.gt_class,
            pred_class=found.pred_class,
            is_crowd=found.is_crowd,
            faults=found.faults,
            class_ids=self.class_ids,
            rules=self._rules_text,
            parts=PartComparison(
                gt_parts=found.gt_parts,
                pred_parts=found.pred_parts,
                has_parts=found.has_parts,
                gt_keys=found.gt_keys,
                pred_keys=found.pred_keys,
                capacity=self.capacity,
                num_unknown=found.num_unknown,
            ),
            boundaries=None,
        )

    def add(self, comparison: SegmentComparison) -> PartPanopticQuality:
        """Count a batch that `compare` has compared; errors as for `update`."""
        check_comparison(comparison, self.class_ids)
        if comparison.parts is None:
            raise ValueError("comparison: expected one with parts, from this class' compare")
        super().add(comparison)
        in_gt, in_pred = comparison.parts.num_unknown.unbind()
        self.unknown_gt_pixels += in_gt
        self.unknown_pixels += in_pred
        return self

    def compute(self) -> PartPanopticQualityResult:
        """Compute the qualities of everything counted so far.

        Raises:
            ValueError: if updates had illegal uids, or ids above the capacity, with numbers.
        """
        classes = {
            sid: PartPanopticClass(
                name=self.spec.scene_labels[sid], has_parts=has_parts, **quality_fields(counts)
            )
            for sid, has_parts, counts in zip(
                self.class_ids, self.has_parts_class.tolist(), self.class_counts()
            )
        }
        kinds = {"all": (True, False), "parts": (True,), "noparts": (False,)}
        means = {
            group: QualityMean(
                *mean_qualities(c.counts for c in classes.values() if c.has_parts in members)
            )
            for group, members in kinds.items()
        }
        return PartPanopticQualityResult(
            **means,
            classes=classes,
            unknown_pixels=int(self.unknown_pixels),
            unknown_gt_pixels=int(self.unknown_gt_pixels),
        )

    def segment_maps(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Maps of the segments, by the `index` of their records; counts nothing.

        Args:
            pred, target: as for `update`; errors as there.

        Returns:
            prediction and ground truth, `(*B, H, W)` integers, 0 is void.
        """
        check_pps_and_uids(pred, target, self.class_sums)
        return part_segment_maps(pred, target, self.pixel_rules())

    def _settings(self) -> dict[str, Any]:
        return {"spec": self.spec.name, **super()._settings(), "capacity": self.capacity}

    def _question(self, faults: Mapping[str, int], *inputs: Any) -> str:
        kinds = [name for name, number in faults.items() if number]
        if not any("instance id" in kind or "segments" in kind for kind in kinds):
            return ""
        return "; a higher capacity= makes room for more segments and higher instance ids"

    def pixel_rules(self) -> PixelRules:
        """The rules by which ids of a pixel are read, with tables on the metric's device."""
        tables = PixelTables(
            group_of_sid=self.group_of_sid,
            is_thing_group=self.is_thing_group,
            class_of_group=self.class_of_group,
            part_of_sid_pid=self.part_of_sid_pid,
            class_of_eval_sid=self.class_of_eval_sid,
            has_parts_class=self.has_parts_class,
        )
        return PixelRules(tables, self.capacity, self.spec.ignore_label)


def highest_capacity(spec: EvalSpec) -> int:
    """The highest capacity that a metric of a spec can have: its segment keys fit in 32 bits."""
    num_groups = len(dataset_lookups(spec).class_of_group)
    return (1 << 31) // max(num_groups, len(spec.eval_sids)) - 3


def _rules(spec: EvalSpec) -> tuple[Any, ...]:
    """The part of a spec, besides the classes, that the counts depend on: how it maps ids."""
    return (
        spec.things,
        spec.parts,
        spec.ignore_label,
        sorted(spec.dataset_sid_to_eval_sid.items()),
        sorted(spec.dataset_sid_pid_to_eval_sid_pid.items()),
    )

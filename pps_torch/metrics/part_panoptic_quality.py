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

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_int,
    check_integer,
    check_ndim,
    check_shape,
)
from pps_torch.metrics.segment_metric import (
    PartComparison,
    SegmentComparison,
    SegmentMetric,
    mean_qualities,
)
from pps_torch.metrics.text_tables import percent, text_table, unknown_lines, without_nan
from pps_torch.ops.scoring.contract import FAULTS, PixelRules, PixelTables
from pps_torch.ops.scoring.dense_indices import dense_indices
from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.mean_part_iou import mean_part_iou
from pps_torch.ops.scoring.part_pixels import part_pixels
from pps_torch.specs import EvalSpec, check_eval_spec
from pps_torch.specs.lookups import dataset_lookups

_FAULTS = (
    *FAULTS,
    "pixels of pps with a part outside 0..255",
    "segments of gt_uids above the capacity, {capacity}",
    "segments of pps above the capacity, {capacity}",
)


@dataclass(frozen=True)
class PartPanopticQualityResult:
    """Part-aware panoptic quality of a data set; all qualities are fractions 0..1.

    Attributes:
        summary: `PartPQ, PartSQ, PartRQ, n` over all classes; the same with `_parts` (and
            `n_p`) over classes with parts and `_noparts` (and `n_np`) over the others. An
            n of 0 comes with nan.
        per_class: scene id -> `name, has_parts, PartPQ, PartSQ, PartRQ, iou, tp, fp, fn`; iou
            is a sum. A class without any segment has qualities 0 and is in no mean.
        unknown_pixels: predicted pixels with a scene id that is neither a class of the spec nor
            a void label (0, 255, the spec's ignore_label); they were taken as void.
        unknown_gt_pixels: ground-truth pixels with a scene id that the data set does not have; they
            were taken as void, too.
    """

    summary: dict[str, float]
    per_class: dict[int, dict[str, Any]]
    unknown_pixels: int
    unknown_gt_pixels: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: keys are strings, nan is None."""
        return without_nan(asdict(self))

    def table(self) -> str:
        """Aligned text, in per cent: the groups, then each class that is present."""
        names = ("PartPQ", "PartSQ", "PartRQ")
        rows = []
        for label, suffix, n in (
            ("All", "", "n"),
            ("Parts", "_parts", "n_p"),
            ("No parts", "_noparts", "n_np"),
        ):
            rows.append(
                (label, *(percent(self.summary[name + suffix]) for name in names), self.summary[n])
            )
        present = [c for c in self.per_class.values() if c["tp"] + c["fp"] + c["fn"]]
        classes = text_table(
            ("class", *names, "TP", "FP", "FN"),
            [
                (c["name"], *(percent(c[name]) for name in names), c["tp"], c["fp"], c["fn"])
                for c in present
            ],
        )
        tables = [text_table(("", *names, "n"), rows), classes]
        tables += unknown_lines(self.unknown_gt_pixels, self.unknown_pixels)
        return "\n\n".join(tables)


class PartPanopticQuality(SegmentMetric):
    """Accumulates PartPQ over batches, on the device of its state.

    Args:
        spec: the `EvalSpec` that maps the ground truth's ids and names the classes.
        capacity: highest instance id in the maps, and the most segments of an image in either
            map. Beyond it, `compute` raises.
        validate: raise at the update that meets a bad id; by default such pixels and segments
            are counted, and `compute` raises. Either way the state is spoilt until
            `reset`.
        backend: `"torch"`, `"triton"` or `"auto"`, which is Triton on CUDA; the same bits.

    Raises:
        TypeError: for a capacity that is no int.
        ValueError: for a capacity below 1 or above what fits in 32 bits, or another backend.
        RuntimeError: at an update that `"triton"` cannot run.

    Example:
        >>> import torch
        >>> metric = PartPanopticQuality(EvalSpec.load("cpp_default"))
        >>> gt_uids = torch.tensor([[7, 26_001_02, 26_001_05]])        # road, a car of two parts
        >>> pps = torch.tensor([[[7, 26, 26]], [[1, 1, 1]], [[1, 2, 5]]])
        >>> metric.update(pps, gt_uids).compute().summary["PartPQ"]
        1.0
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
        validate: bool = False,
        backend: str = "auto",
    ) -> None:
        check_eval_spec("spec", spec)
        check_int("capacity", capacity, 1)
        fault_names = tuple(name.format(capacity=capacity) for name in _FAULTS)
        super().__init__(spec.eval_sids, _rules(spec), fault_names, validate, backend)
        self._add_state("unknown_pixels")
        self._add_state("unknown_gt_pixels")
        self.spec = spec
        self.capacity = capacity
        lookups = dataset_lookups(spec, torch.device("cpu"))
        class_of_group, num_classes = lookups.class_of_group, len(spec.eval_sids)
        highest = (1 << 31) // max(len(class_of_group), num_classes) - 3
        if capacity > highest:
            raise ValueError(f"capacity: expected 1..{highest}, got {capacity}")
        tables = {
            "group_of_sid": lookups.group_of_sid,
            "is_thing_group": lookups.is_thing_class[class_of_group],
            "part_of_sid_pid": lookups.part_of_sid_pid,
            "class_of_eval_sid": lookups.class_of_eval_sid,
            "has_parts_class": lookups.has_parts_class,
            "class_of_group": class_of_group,
        }
        for name, table in tables.items():
            self.register_buffer(name, table.clone(), persistent=False)

    def update(self, pps: Tensor, gt_uids: Tensor) -> PartPanopticQuality:
        """Counts a batch of images.

        Args:
            pps: `(*B, 3, H, W)`, any integer dtype: `[scene class, instance, part]` with
                evaluation ids. Scene ids that the spec does not know are void, as in
                panoptic_parts; the result says how many pixels have one.
            gt_uids: `(*B, H, W)`, any integer dtype: uids with the data set's ids. Scene ids
                that the data set does not have are void and counted likewise.

        Returns:
            self.

        Raises:
            TypeError, ValueError: for a wrong dtype, shape or device, naming the argument.
            ValueError: for bad ids, if `validate` is on.
            RuntimeError: if the state already holds all processes.
        """
        self._refuse_after_sync("update")
        self.add(self.compare(pps, gt_uids))
        return self

    def compare(self, pps: Tensor, gt_uids: Tensor) -> SegmentComparison:
        """What `update` counts, segment by segment; errors as there."""
        check_integer("pps", pps)
        check_integer("gt_uids", gt_uids)
        check_ndim("gt_uids", gt_uids, 2, "(*B, H, W)")
        *batch, height, width = gt_uids.shape
        check_shape("pps", pps, (*batch, 3, height, width))
        check_device("pps", pps, self.class_sums)
        check_device("gt_uids", gt_uids, self.class_sums)
        num_images = gt_uids.shape[:-2].numel()
        pps = pps.reshape(num_images, 3, height * width)
        return self._compare(pps, gt_uids.reshape(num_images, height * width))

    def add(self, comparison: SegmentComparison) -> PartPanopticQuality:
        """Counts a batch that `compare` has compared; errors as for `update`."""
        if comparison.parts is None:
            raise ValueError("comparison: expected one with parts, from this class' compare")
        super().add(comparison)
        in_gt, in_pred = comparison.parts.unknown_pixels.unbind()
        self.unknown_gt_pixels += in_gt
        self.unknown_pixels += in_pred
        return self

    def compute(self) -> PartPanopticQualityResult:
        """The qualities of everything counted so far.

        Raises:
            ValueError: if updates had illegal uids, or ids above the capacity, with numbers.
        """
        counts = self.class_counts()
        has_parts = self.has_parts_class.tolist()
        groups = (
            ("", "n", (True, False)),
            ("_parts", "n_p", (True,)),
            ("_noparts", "n_np", (False,)),
        )
        summary: dict[str, float] = {}
        for suffix, n, kinds in groups:
            members = [c for c, parts in zip(counts, has_parts) if parts in kinds]
            keys = [f"PartPQ{suffix}", f"PartSQ{suffix}", f"PartRQ{suffix}", n]
            summary.update(zip(keys, mean_qualities(members)))
        per_class = {}
        for sid, parts, c in zip(self.spec.eval_sids, has_parts, counts):
            qualities = dict(zip(("PartPQ", "PartSQ", "PartRQ"), c.qualities()))
            row = {"name": self.spec.scene_labels[sid], "has_parts": parts, **qualities}
            per_class[sid] = {**row, **c._asdict()}
        unknown = int(self.unknown_pixels), int(self.unknown_gt_pixels)
        return PartPanopticQualityResult(summary, per_class, *unknown)

    def _compare(self, pps: Tensor, gt_uids: Tensor) -> SegmentComparison:
        pixels = part_pixels(gt_uids, pps, self.pixel_rules(), backend=self.backend)
        marks = pixels.mark()
        gt = dense_indices(marks.gt, self.capacity, backend=self.backend)
        pred = dense_indices(marks.pred, self.capacity, backend=self.backend)
        segments = pixels.index(gt, pred)
        joint, gt_parts = segments.count_overlaps()

        slots = self.capacity + 2
        gt_class = torch.where(gt.keys > 0, self.class_of_group[(gt.keys - 1) // slots], -1)
        pred_class = (pred.keys - 1) // slots
        gt_has_parts = (gt_class >= 0) & self.has_parts_class[gt_class]
        pred_has_parts = (pred_class >= 0) & self.has_parts_class[pred_class]
        is_crowd = (gt.keys > 0) & (gt.keys % slots == 0)
        is_crowd = is_crowd | (gt_has_parts & (gt_parts[:, :, 1:].sum(2) == 0))
        matches = match_segments(joint, gt_class, pred_class, is_crowd, backend=self.backend)

        pred_parts, num_bad_parts = segments.count_parts(
            torch.where(pred_has_parts, matches.gt_of_pred, 0),
            torch.where(is_crowd, gt_class, -1),
        )
        scores = mean_part_iou(
            gt_parts, pred_parts, matches, gt_class, is_crowd, gt_has_parts, backend=self.backend
        )
        dropped = torch.stack([num_bad_parts, gt.num_dropped, pred.num_dropped])
        return SegmentComparison(
            joint,
            matches,
            scores,
            gt_class,
            pred_class,
            is_crowd,
            torch.cat([marks.faults, dropped]),
            self.class_ids,
            self._fingerprint,
            PartComparison(
                gt_parts, pred_parts, gt_has_parts, gt.keys, pred.keys, marks.num_unknown
            ),
        )

    def pixel_rules(self) -> PixelRules:
        """What the ids of a pixel mean, where the metric is now."""
        tables = PixelTables(
            group_of_sid=self.group_of_sid,
            is_thing_group=self.is_thing_group,
            part_of_sid_pid=self.part_of_sid_pid,
            class_of_eval_sid=self.class_of_eval_sid,
            has_parts_class=self.has_parts_class,
        )
        return PixelRules(tables, self.capacity, self.spec.ignore_label)


def _rules(spec: EvalSpec) -> tuple[Any, ...]:
    """What the counts depend on besides the classes: how the spec maps ids."""
    return (
        spec.things,
        spec.parts,
        spec.ignore_label,
        sorted(spec.dataset_sid_to_eval_sid.items()),
        sorted(spec.dataset_sid_pid_to_eval_sid_pid.items()),
    )

"""Part-aware panoptic quality (PartPQ).

PartPQ of a scene class is the sum, over its matches, of their part IoU over ``TP + FP / 2 + FN /
2`` (arXiv 2106.06351). Segments match as in PQ, on their whole masks. The part IoU of a match is
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

from pps_torch.formats.checks import check_device, check_integer, check_ndim, check_shape
from pps_torch.formats.reserved import PPS_VOID, UNDEFINED_PART
from pps_torch.formats.uids import decode_uids, is_legal_uid
from pps_torch.metrics.matching import SegmentMatches, match_segments
from pps_torch.metrics.report import percent, text_table, without_nan
from pps_torch.metrics.segment_metric import SegmentMetric, mean_qualities
from pps_torch.ops.dense_indices import DenseIndices, dense_indices
from pps_torch.ops.pair_counts import pair_counts
from pps_torch.ops.pixel_runs import PixelRuns, pixel_runs
from pps_torch.specs import EvalSpec
from pps_torch.specs.lookups import dataset_lookups

#: Part labels that are told apart: 0..255, what a PPS map stores in a byte.
NUM_PART_LABELS = 256

_FAULTS = (
    "ground-truth pixels with a negative or three-digit uid",
    "ground-truth pixels with an instance id above the capacity",
    "predicted pixels with an instance id outside 0..capacity",
    "predicted pixels with a part outside 0..255",
    "ground-truth segments above the capacity",
    "predicted segments above the capacity",
)

# Where a pixel of a matched prediction lies, in the second count.
_OUTSIDE, _SAME_PART, _OTHER_PART, _NOT_EVALUATED, _INSIDE = range(5)


@dataclass(frozen=True)
class PartPanopticQualityResult:
    """Part-aware panoptic quality of a data set; all qualities are fractions 0..1.

    Attributes:
        summary: ``PartPQ, PartSQ, PartRQ, n`` over all classes; the same with ``_parts`` (and
            ``n_p``) over classes with parts and ``_noparts`` (and ``n_np``) over the others. An
            n of 0 comes with nan.
        per_class: scene id -> ``name, has_parts, PartPQ, PartSQ, PartRQ, iou, tp, fp, fn``; iou
            is a sum. A class without any segment has qualities 0 and is in no mean.
        unknown_pixels: predicted pixels with a scene id that is neither a class of the spec nor
            a void label (0, 255, the spec's ignore_label); they were taken as void.
    """

    summary: dict[str, float]
    per_class: dict[int, dict[str, Any]]
    unknown_pixels: int

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
        unknown = f"\n\n{self.unknown_pixels} predicted pixels have an unknown scene id"
        return f"{text_table(('', *names, 'n'), rows)}\n\n{classes}" + (
            unknown if self.unknown_pixels else ""
        )


class PartPanopticQuality(SegmentMetric):
    """Accumulates PartPQ over batches, on the device of its state.

    Args:
        spec: the :class:`EvalSpec` that maps the ground truth's ids and names the classes.
        capacity: highest instance id in the maps, and the most segments of an image in either
            map. Beyond it, :meth:`compute` raises.
        validate: raise at the update that meets a bad id; by default such pixels and segments
            are counted, and :meth:`compute` raises. Either way the state is spoilt until
            :meth:`reset`.

    Example:
        >>> import torch
        >>> metric = PartPanopticQuality(EvalSpec.load("cpp_default"))
        >>> gt_uids = torch.tensor([[7, 26_001_02, 26_001_05]])        # road, a car of two parts
        >>> pps = torch.tensor([[[7, 26, 26]], [[1, 1, 1]], [[1, 2, 5]]])
        >>> metric.update(pps, gt_uids).compute().summary["PartPQ"]
        1.0
    """

    def __init__(self, spec: EvalSpec, *, capacity: int = 1024, validate: bool = False) -> None:
        super().__init__(spec.eval_sids, _rules(spec), _FAULTS)
        self._add_state("unknown_pixels")
        if capacity < 1:
            raise ValueError(f"capacity: expected at least 1, got {capacity}")
        self.spec = spec
        self.capacity = capacity
        # A segment's key is its group (or class) and a slot: its instance id, or the crowd's.
        self._crowd_slot = capacity + 1
        self._stride = capacity + 2
        self.validate = validate
        lookups = dataset_lookups(spec, torch.device("cpu"))
        for name in (
            "class_of_sid",
            "group_of_sid",
            "class_of_group",
            "part_of_sid_pid",
            "is_thing_class",
            "has_parts_class",
            "class_of_eval_sid",
        ):
            self.register_buffer(name, getattr(lookups, name).clone(), persistent=False)

    def update(self, pps: Tensor, gt_uids: Tensor) -> PartPanopticQuality:
        """Counts a batch of images.

        Args:
            pps: ``(*B, 3, H, W)``, any integer dtype: ``[scene class, instance, part]`` with
                evaluation ids. Scene ids that the spec does not know are void, as in
                panoptic_parts; the result says how many pixels have one.
            gt_uids: ``(*B, H, W)``, any integer dtype: uids with the data set's ids.

        Returns:
            self.

        Raises:
            TypeError, ValueError: for a wrong dtype or shape, naming the argument.
        """
        self._refuse_after_sync("update")
        check_integer("pps", pps)
        check_integer("gt_uids", gt_uids)
        check_ndim("gt_uids", gt_uids, 2, "(*B, H, W)")
        *batch, height, width = gt_uids.shape
        check_shape("pps", pps, (*batch, 3, height, width))
        check_device("pps", pps, self.class_sums)
        check_device("gt_uids", gt_uids, self.class_sums)
        num_images = gt_uids.shape[:-2].numel()
        channels = pps.reshape(num_images, 3, height * width).unbind(1)
        self._count(pixel_runs(gt_uids.reshape(num_images, height * width), *channels), num_images)
        if self.validate:
            self._raise_faults()
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
        return PartPanopticQualityResult(summary, per_class, int(self.unknown_pixels))

    def _count(self, runs: PixelRuns, num_images: int) -> None:
        uids, pred_sids, pred_iids, pred_parts = (values.long() for values in runs.maps)
        gt, gt_part, gt_faults = self._gt_segments(runs, uids, num_images)
        pred, pred_part, pred_faults = self._pred_segments(
            runs, pred_sids, pred_iids, pred_parts, num_images
        )
        gt_class = torch.where(gt.keys >= 0, self.class_of_group[gt.keys // self._stride], -1)
        pred_class = torch.where(pred.keys >= 0, pred.keys // self._stride, -1)
        joint = pair_counts(
            runs, gt.index, pred.index, gt.keys.shape[1], pred.keys.shape[1], num_images
        )
        gt_parts = pair_counts(
            runs, gt.index, gt_part, gt.keys.shape[1], NUM_PART_LABELS, num_images
        )
        has_parts = (gt_class >= 0) & self.has_parts_class[gt_class]
        is_crowd = (gt.keys >= 0) & (gt.keys % self._stride == self._crowd_slot)
        is_crowd = is_crowd | (has_parts & (gt_parts[:, :, 1:].sum(2) == 0))
        matches = match_segments(joint, gt_class, pred_class, is_crowd, is_crowd)

        pred_parts_counts = self._matched_part_counts(
            runs, gt, gt_part, pred, pred_part, gt_class, pred_class, is_crowd, matches
        )
        crowd_area = joint.sum(2) * is_crowd
        of_class = gt_class[:, :, None] == gt_class[:, None, :]
        not_void = joint[:, 1:].sum((1, 2))[:, None]
        evaluated = not_void - (crowd_area[:, None] * of_class).sum(2)
        part_iou = mean_part_iou(gt_parts, pred_parts_counts, matches.pred_of_gt, evaluated)
        scores = torch.where(matches.is_tp & has_parts, part_iou, matches.iou)
        self._add_matches(matches, scores, gt_class, pred_class)
        self._add_faults(*gt_faults, *pred_faults, gt.num_dropped, pred.num_dropped)

    def _gt_segments(
        self, runs: PixelRuns, uids: Tensor, num_images: int
    ) -> tuple[DenseIndices, Tensor, tuple[Tensor, Tensor]]:
        """Numbers the ground-truth segments of each image; crowd pixels of a class are one."""
        is_legal = is_legal_uid(uids)
        sids, iids, pids = decode_uids(torch.where(is_legal, uids, 0), validate=False)
        last = len(self.class_of_sid) - 1
        sids = torch.where(sids > last, last, sids)
        group, class_index = self.group_of_sid[sids], self.class_of_sid[sids]
        is_crowd = (iids < 0) & (class_index >= 0) & self.is_thing_class[class_index]
        is_too_high = (class_index >= 0) & (iids > self.capacity)
        slot = torch.where(is_crowd, self._crowd_slot, torch.where(iids < 0, 0, iids))
        key = torch.where((group < 0) | is_too_high, -1, group * self._stride + slot)
        num_keys = len(self.class_of_group) * self._stride
        segments = dense_indices(
            runs.image, key, num_images=num_images, num_keys=num_keys, capacity=self.capacity
        )
        faults = ((~is_legal * runs.lengths).sum(), (is_too_high * runs.lengths).sum())
        return segments, self.part_of_sid_pid[sids, pids + 1], faults

    def _pred_segments(
        self, runs: PixelRuns, sids: Tensor, iids: Tensor, parts: Tensor, num_images: int
    ) -> tuple[DenseIndices, Tensor, tuple[Tensor, Tensor]]:
        """Numbers the predicted segments of each image by class and instance id."""
        last = len(self.class_of_eval_sid) - 1
        class_index = self.class_of_eval_sid[torch.where((sids < 0) | (sids > last), last, sids)]
        is_void = (sids == 0) | (sids == PPS_VOID) | (sids == self.spec.ignore_label)
        self.unknown_pixels += (((class_index < 0) & ~is_void) * runs.lengths).sum()
        is_outside = (class_index >= 0) & ((iids < 0) | (iids > self.capacity))
        key = class_index * self._stride + iids
        key = torch.where((class_index < 0) | is_outside, -1, key)
        segments = dense_indices(
            runs.image,
            key,
            num_images=num_images,
            num_keys=len(self.class_sums) * self._stride,
            capacity=self.capacity,
        )
        has_parts = (class_index >= 0) & self.has_parts_class[class_index]
        is_void_part = parts == self.spec.ignore_label
        is_bad_part = has_parts & ~is_void_part & ((parts < 0) | (parts >= NUM_PART_LABELS))
        parts = torch.where(is_void_part | is_bad_part, PPS_VOID, parts)
        parts = torch.where(has_parts, parts, 0)
        faults = ((is_outside * runs.lengths).sum(), (is_bad_part * runs.lengths).sum())
        return segments, parts, faults

    def _matched_part_counts(
        self,
        runs: PixelRuns,
        gt: DenseIndices,
        gt_part: Tensor,
        pred: DenseIndices,
        pred_part: Tensor,
        gt_class: Tensor,
        pred_class: Tensor,
        is_crowd: Tensor,
        matches: SegmentMatches,
    ) -> Tensor:
        """Counts the predicted parts of each prediction by where the pixel lies.

        Returns:
            ``(B, P + 1, 4, 256)`` int64; dimension 2 is outside the matched segment, inside with
            the same part, inside with another part, not evaluated.
        """
        region = _regions(gt_class, pred_class, is_crowd, matches)
        pair = (runs.image * region.shape[1] + gt.index) * region.shape[2] + pred.index
        region = region.view(-1)[pair]
        place = torch.where(gt_part == pred_part, _SAME_PART, _OTHER_PART)
        place = torch.where(gt_part == UNDEFINED_PART, _NOT_EVALUATED, place)
        place = torch.where(region == _INSIDE, place, region)
        counts = pair_counts(
            runs,
            pred.index,
            place * NUM_PART_LABELS + pred_part,
            pred.keys.shape[1],
            4 * NUM_PART_LABELS,
            len(pred.keys),
        )
        return counts.view(*pred.keys.shape, 4, NUM_PART_LABELS)


def _rules(spec: EvalSpec) -> tuple[Any, ...]:
    """What the counts depend on besides the classes: how the spec maps ids."""
    return (
        spec.things,
        spec.parts,
        spec.ignore_label,
        sorted(spec.dataset_sid_to_eval_sid.items()),
        sorted(spec.dataset_sid_pid_to_eval_sid_pid.items()),
    )


def _regions(
    gt_class: Tensor, pred_class: Tensor, is_crowd: Tensor, matches: SegmentMatches
) -> Tensor:
    """Where the pixels of each pair of segments lie, seen from the prediction's match.

    Returns:
        ``(B, G + 1, P + 1)`` int64: inside or outside the matched segment; not evaluated where
        the prediction has no match, and on void and crowd of its class.
    """
    same_class = gt_class[:, :, None] == pred_class[:, None, :]
    is_void = torch.zeros_like(is_crowd)
    is_void[:, 0] = True
    skipped = (is_crowd[:, :, None] & same_class) | is_void[:, :, None]
    skipped = skipped | (matches.gt_of_pred == 0)[:, None, :]
    index = torch.arange(gt_class.shape[1], device=gt_class.device)
    is_inside = matches.gt_of_pred[:, None, :] == index[:, None]
    return torch.where(skipped, _NOT_EVALUATED, torch.where(is_inside, _INSIDE, _OUTSIDE))


def mean_part_iou(
    gt_parts: Tensor, pred_counts: Tensor, pred_of_gt: Tensor, evaluated: Tensor
) -> Tensor:
    """Mean IoU over the part labels of each ground-truth segment and its match.

    Args:
        gt_parts: ``(B, G + 1, 256)`` pixels of each part; column 0 is the undefined part.
        pred_counts: ``(B, P + 1, 4, 256)``, see ``_matched_part_counts``.
        pred_of_gt: ``(B, G + 1)`` the match of each segment.
        evaluated: ``(B, G + 1)`` pixels of the image without void and crowd of the class.

    Returns:
        ``(B, G + 1)`` float64; meaningful for matches of classes with parts.
    """
    images = torch.arange(len(gt_parts), device=gt_parts.device)[:, None]
    counts = pred_counts[images, pred_of_gt]
    same, other = counts[:, :, _SAME_PART], counts[:, :, _OTHER_PART]
    pred_labels = counts[:, :, _OUTSIDE] + same + other

    # Background: what lies outside both, among the evaluated pixels.
    evaluated = evaluated - gt_parts[:, :, 0]
    gt_inside = gt_parts[:, :, 1:].sum(2)
    gt_background = evaluated - gt_inside
    pred_background = evaluated - pred_labels[:, :, 1:].sum(2)
    covered = same[:, :, 1:].sum(2) + other[:, :, 1:].sum(2)
    both_background = pred_background - (gt_inside - covered)

    gt_count = torch.cat([gt_background[:, :, None], gt_parts[:, :, 1:]], 2)
    pred_count = torch.cat([pred_background[:, :, None], pred_labels[:, :, 1:]], 2)
    intersection = torch.cat([both_background[:, :, None], same[:, :, 1:]], 2)
    union = gt_count + pred_count - intersection
    is_label = union > 0
    is_label[:, :, PPS_VOID] = False
    iou = intersection.double() / torch.where(is_label, union, 1).double()
    # Integers, so that the order of the sum cannot matter.
    fixed_point = (torch.where(is_label, iou, 0.0) * 2.0**52).round().long()
    return fixed_point.sum(2).double() / 2.0**52 / is_label.sum(2).clamp(min=1).double()

"""Part segmentation quality: IoU over flat part labels (PartIoU), and mIoU of the scene classes.

PartIoU asks of each pixel which part it shows, whatever segment it belongs to. The labels are the
flat part ids of the evaluation spec, in which classes may share a part, and background, 0, which is
every class that has none. A class that PartPQ takes as a whole may have one, as PASCAL's boat has:
all its pixels are its part 1. The rule of panoptic_parts' experimental evaluation, where its
specification file (not published with it) leaves no doubt:

- Not evaluated is ground-truth void, and a pixel whose class has flat parts while its part is not
  labelled, or not evaluated by the spec. Its class still counts in mIoU.
- A predicted pixel of a class with flat parts that has a part of that class counts for this part,
  with part 0 for background, and with any other part, 255 included, for nothing: the part of the
  ground truth is missed there, and no other is falsely predicted. So does predicted void.
- The confusion matrix is summed over the data set; see
  [`confusion_matrix`][pps_torch.metrics.confusion_matrix].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pps_torch.formats.uids import decode_uids, is_legal_uid
from pps_torch.metrics.confusion_matrix import (
    ClassIoU,
    IoUMean,
    class_ious,
    flat_ious,
    iou_mean,
    iou_table,
)
from pps_torch.metrics.former_names import accept_former_names
from pps_torch.metrics.pps_and_uids import check_pps_and_uids, flat_uids_and_pps
from pps_torch.metrics.results import Result, data_frame, without_nan
from pps_torch.metrics.sum_metric import SumMetric
from pps_torch.metrics.text_tables import percent, text_table, unknown_lines
from pps_torch.ops.scoring.contract import NUM_PART_LABELS, is_predicted_void
from pps_torch.ops.scoring.label_pairs import LabelPairs
from pps_torch.specs import EvalSpec, check_eval_spec
from pps_torch.specs.lookups import dataset_lookups

if TYPE_CHECKING:
    import pandas

_FAULTS = (
    "pixels of target with a negative or three-digit uid",
    "pixels of pred with a part outside 0..255",
)


@dataclass(frozen=True, eq=False)
class PartIoUResult(Result):
    """Part and scene segmentation quality of a data set; all numbers are fractions 0..1.

    `value` is PartIoU, `parts.iou`.

    Attributes:
        parts, all: the means over the part labels, background among them, and over the scene
            classes, as far as the ground truth has them: `iou` (PartIoU and mIoU), `recall`, and
            their number `n`; an n of 0 comes with nan.
        part_labels: by flat part id, 0 for background: `name, iou, precision, recall, tp,
            gt_pixels, pred_pixels`; nan where a denominator is 0.
        classes: the same by scene id.
        unknown_pixels: predicted pixels with a scene id that is neither a class of the spec nor
            a void label (0, 255, the spec's ignore_label); they were taken as void.
        unknown_gt_pixels: ground-truth pixels with a scene id that the data set does not have; they
            were taken as void, too.
    """

    parts: IoUMean
    all: IoUMean
    part_labels: Mapping[int, ClassIoU]
    classes: Mapping[int, ClassIoU]
    unknown_pixels: int
    unknown_gt_pixels: int

    @property
    def value(self) -> float:
        """PartIoU, the mean over the part labels."""
        return self.parts.iou

    @property
    def summary(self) -> dict[str, float]:
        """`PartIoU` over `n_parts` part labels and `mIoU` over `n` classes; see `parts`, `all`."""
        means = {"PartIoU": self.parts.iou, "n_parts": self.parts.n}
        return {**means, "mIoU": self.all.iou, "n": self.all.n}

    @property
    def per_part(self) -> dict[int, dict[str, Any]]:
        """By flat part id `name, IoU, precision, recall, tp, gt_pixels, pred_pixels`."""
        return {part_id: part.row() for part_id, part in self.part_labels.items()}

    @property
    def per_class(self) -> dict[int, dict[str, Any]]:
        """By scene id `name, IoU, precision, recall, tp, gt_pixels, pred_pixels`."""
        return super().per_class

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: what the properties give; keys are strings, nan is None."""
        return without_nan(
            {
                "summary": self.summary,
                "per_part": self.per_part,
                "per_class": self.per_class,
                "unknown_pixels": self.unknown_pixels,
                "unknown_gt_pixels": self.unknown_gt_pixels,
            }
        )

    def table(self) -> str:
        """Aligned text, in per cent: the means, the part labels, the classes."""
        means = [
            ("PartIoU", percent(self.parts.iou), self.parts.n),
            ("mIoU", percent(self.all.iou), self.all.n),
        ]
        tables = [
            text_table(("", "mean", "n"), means),
            iou_table("part", self.part_labels.values()),
            iou_table("class", self.classes.values()),
        ]
        tables += unknown_lines(self.unknown_gt_pixels, self.unknown_pixels)
        return "\n\n".join(tables)

    def flat(self) -> dict[str, float]:
        """One number for each key, see [`Result.flat`][pps_torch.metrics.results.Result.flat].

        Keys of the parts are `"PartIoU/all"`, `"PartIoU/background"`, `"PartRecall/all"`, those of
        the scene classes `"IoU/all"`, `"IoU/road"`.
        """
        parts = flat_ious(self.parts, self.part_labels, prefix="Part")
        return {**parts, **flat_ious(self.all, self.classes)}

    def to_pandas(self) -> pandas.DataFrame:
        """A `pandas.DataFrame` of parts and classes, indexed by kind (`part`, `class`) and id.

        Raises:
            ImportError: without pandas.
        """
        frames = {"part": data_frame(self.part_labels), "class": data_frame(self.classes)}
        import pandas

        return pandas.concat(frames, names=["kind"])


class PartIoU(SumMetric):
    """IoU of part labels (PartIoU) and scene classes (mIoU), on the device of its state.

    From the confusion matrices of the whole data set, for a part label or a class

        IoU = pixels with it in both maps / pixels with it in either

    and the mean over those that the ground truth has.

    Args:
        spec: the `EvalSpec` that maps the ground truth's ids and names classes and parts.
        validate: look for bad ids at once, and raise at the update that meets them; None does so
            where it waits for no device, on the CPU; by default such pixels are counted, and
            `compute` raises. Either way the state is spoilt until `reset`.
        backend: `"torch"`, `"triton"` or `"auto"`, which is Triton on CUDA; the same bits.

    Raises:
        ValueError: for another backend.
        RuntimeError: at an update that `"triton"` cannot run.

    Example:
        Road, which is background, and a car of two parts, wheels and chassis, of which the last is
        taken for the first; what part the last pixel shows is not known, so it is left out.

        >>> import torch
        >>> metric = PartIoU(EvalSpec.load("cpp_default"))
        >>> uids = torch.tensor([[7, 26_001_02, 26_001_05, 26_001]])
        >>> pps = torch.tensor([[[7, 26, 26, 26]], [[1, 1, 1, 1]], [[1, 2, 2, 1]]])
        >>> result = metric.update(pps, uids).compute()
        >>> wheels = result.part_labels[10]
        >>> wheels.name, wheels.iou, wheels.precision, wheels.recall
        ('car-wheels', 0.5, 0.5, 1.0)
        >>> result.parts.iou, result.all.iou  # background 1, wheels 1/2, chassis 0; road 1, car 1
        (0.5, 1.0)
    """

    part_confusion: Tensor
    class_confusion: Tensor
    unknown_pixels: Tensor
    unknown_gt_pixels: Tensor
    class_of_sid: Tensor
    label_of_sid_pid: Tensor
    class_of_eval_sid: Tensor
    label_of_pred: Tensor
    has_parts: Tensor

    def __init__(
        self, spec: EvalSpec, *, validate: bool | None = False, backend: str = "auto"
    ) -> None:
        check_eval_spec("spec", spec)
        super().__init__(spec.eval_sids, _rules(spec), _FAULTS, validate, backend)
        self.spec = spec
        self.part_ids = (0, *sorted(set(spec.eval_sid_pid_to_flat.values()) - {0}))
        num_parts, num_classes = len(self.part_ids), len(spec.eval_sids)
        self._add_state("part_confusion", num_parts, num_parts + 1)
        self._add_state("class_confusion", num_classes, num_classes + 1)
        self._add_state("unknown_pixels")
        self._add_state("unknown_gt_pixels", first_layout=2)
        self._hold_tables(**_tables(spec, self.part_ids))

    @accept_former_names(pps="pred", gt_uids="target")
    def update(self, pred: Tensor | list[Tensor], target: Tensor | list[Tensor]) -> PartIoU:
        """Count a batch of images, or a list of images, which may differ in size.

        Where an image of a list raises, those before it stay counted.

        Args:
            pred: the PPS maps, `(*B, 3, H, W)`, any integer dtype: `[scene class, instance, part]`
                with evaluation ids. Instances do not matter. Scene ids that the spec does not know
                are void; the result says how many pixels have one. Formerly `pps`, a name that is
                accepted still.
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
        check_pps_and_uids(pred, target, self.faults)
        uids, pps = flat_uids_and_pps(pred, target)
        self._count(LabelPairs(uids, pps[:, 0], pps[:, 2], backend=self.backend))
        return self

    def compute(self) -> PartIoUResult:
        """Compute the numbers of everything counted so far.

        Raises:
            ValueError: if updates had illegal uids or parts, with numbers.
        """
        self._raise_faults()
        labels = {0: "background", **self.spec.part_labels}
        part_names = [labels.get(part_id, str(part_id)) for part_id in self.part_ids]
        parts = class_ious(self.part_confusion, part_names)
        scene_names = [self.spec.scene_labels[sid] for sid in self.class_ids]
        classes = class_ious(self.class_confusion, scene_names)
        return PartIoUResult(
            parts=iou_mean(parts),
            all=iou_mean(classes),
            part_labels=dict(zip(self.part_ids, parts)),
            classes=dict(zip(self.class_ids, classes)),
            unknown_pixels=int(self.unknown_pixels),
            unknown_gt_pixels=int(self.unknown_gt_pixels),
        )

    def _settings(self) -> dict[str, Any]:
        return {"spec": self.spec.name, **super()._settings()}

    def _count(self, pairs: LabelPairs) -> None:
        uids, sids, parts = (values.long() for values in pairs.maps)
        num_parts, num_classes = len(self.part_ids), len(self.class_ids)
        is_legal = is_legal_uid(uids)
        gt_sids, _, gt_pids = decode_uids(torch.where(is_legal, uids, 0), validate=False)
        unknown_sid = len(self.class_of_sid) - 1
        gt_sids = gt_sids.clamp(max=unknown_sid)
        gt_class = self.class_of_sid[gt_sids]
        gt_part = self.label_of_sid_pid[gt_sids, gt_pids + 1]

        last = len(self.class_of_eval_sid) - 1
        pred_sids = torch.where(sids < 0, last, sids).clamp(max=last)
        pred_class = self.class_of_eval_sid[pred_sids]
        other = self.label_of_pred.shape[1] - 1
        pred_pids = torch.where(parts < 0, other, parts).clamp(max=other)
        pred_part = self.label_of_pred[pred_sids, pred_pids]

        sizes = num_parts + 1, num_classes + 1
        self.part_confusion += pairs.count(gt_part, pred_part, sizes[0], sizes[0])[:-1]
        self.class_confusion += pairs.count(gt_class, pred_class, sizes[1], sizes[1])[:-1]
        is_void = is_predicted_void(sids, self.spec.ignore_label)
        is_unknown = (pred_class == num_classes) & ~is_void
        self.unknown_pixels += pairs.num_pixels_of(is_unknown)
        self.unknown_gt_pixels += pairs.num_pixels_of(is_legal & (gt_sids == unknown_sid))
        is_byte = (parts >= 0) & (parts < NUM_PART_LABELS)
        is_bad_part = ~is_byte & (parts != self.spec.ignore_label) & self.has_parts[pred_class]
        faults = (~is_legal, is_bad_part)
        self._add_faults(torch.stack([pairs.num_pixels_of(fault) for fault in faults]))


def _tables(spec: EvalSpec, part_ids: tuple[int, ...]) -> dict[str, Tensor]:
    """Tables from ids to class indices and part labels; the last label, C or F, is none.

    `class_of_sid (S + 1,)` and `label_of_sid_pid (S + 1, 101)` are for the ground truth, with
    rows and columns as in `DatasetLookups`; `class_of_eval_sid (E + 1,)` and `label_of_pred
    (E + 1, P + 2)`, by sid and pid, for the prediction: last rows and columns stand for ids
    outside. `has_parts (C + 1,)`, whether a class has flat parts, is by class.
    """
    lookups = dataset_lookups(spec, torch.device("cpu"))
    num_classes, none = len(spec.eval_sids), len(part_ids)
    label_of_flat = torch.full((spec.highest_flat_pid + 2,), none, device="cpu")
    label_of_flat[list(part_ids)] = torch.arange(none, device="cpu")

    highest_pid = max((pid for _, pid in spec.eval_sid_pid_to_flat), default=0)
    sizes = num_classes + 1, highest_pid + 2
    label_of_pid = torch.zeros(sizes, dtype=torch.int64, device="cpu")
    has_parts = torch.zeros(num_classes + 1, dtype=torch.bool, device="cpu")
    for sid in {sid for sid, _ in spec.eval_sid_pid_to_flat}:
        class_index = spec.eval_sids.index(sid)
        label_of_pid[class_index, 1:] = none
        has_parts[class_index] = True
    for (sid, pid), flat in spec.eval_sid_pid_to_flat.items():
        label_of_pid[spec.eval_sids.index(sid), pid] = label_of_flat[flat]
    label_of_pid[num_classes] = none

    class_of_eval_sid = lookups.class_of_eval_sid % (num_classes + 1)
    return {
        "class_of_sid": lookups.class_of_sid % (num_classes + 1),  # -1 becomes C
        "label_of_sid_pid": label_of_flat[lookups.flat_of_sid_pid],  # -1 is the last, none
        "class_of_eval_sid": class_of_eval_sid,
        "label_of_pred": label_of_pid[class_of_eval_sid],
        "has_parts": has_parts,
    }


def _rules(spec: EvalSpec) -> tuple[Any, ...]:
    """The part of a spec, besides the classes, that the counts depend on: how it maps ids."""
    return (
        spec.parts,
        spec.ignore_label,
        sorted(spec.dataset_sid_to_eval_sid.items()),
        sorted(spec.dataset_sid_pid_to_eval_sid_pid.items()),
        sorted(spec.eval_sid_pid_to_flat.items()),
    )

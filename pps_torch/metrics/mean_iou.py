"""Mean IoU of scene classes (mIoU): from semantic maps, or from what PQ or PartPQ has counted."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pps_torch.checks import check_device, check_integer, check_ndim, check_shape
from pps_torch.formats.categories import named_categories
from pps_torch.formats.unknown_categories import question_about_ids
from pps_torch.metrics.comparisons import SegmentComparison, check_comparison
from pps_torch.metrics.confusion_matrix import (
    ClassIoU,
    IoUMean,
    class_ious,
    flat_ious,
    iou_mean,
    iou_table,
)
from pps_torch.metrics.results import Result
from pps_torch.metrics.sum_metric import SumMetric
from pps_torch.metrics.text_tables import percent, text_table
from pps_torch.ops.scoring.class_confusion import class_confusion
from pps_torch.ops.scoring.label_pairs import LabelPairs
from pps_torch.reserved import PPS_VOID
from pps_torch.specs import EvalSpec

_UNKNOWN = (
    "pixels of target with an unknown category",
    "pixels of pred with an unknown category",
)
_FAULTS = (
    *_UNKNOWN,
    "faults in the segments of a comparison",
)

#: Of categories: a table has a row for each id up to the highest.
_HIGHEST_ID = (1 << 20) - 1


@dataclass(frozen=True, eq=False)
class MeanIoUResult(Result):
    """Semantic segmentation quality of a data set; all numbers are fractions 0..1.

    `value` is mIoU, `all.iou`.

    Attributes:
        all: the means over the classes that the ground truth has: `iou` (mIoU), `recall` (mAcc),
            and their number `n`; an n of 0 comes with nan.
        classes: by category id: `name, iou, precision, recall, tp, gt_pixels, pred_pixels`; nan
            where a denominator is 0.
    """

    all: IoUMean
    classes: Mapping[int, ClassIoU]

    @property
    def value(self) -> float:
        """mIoU."""
        return self.all.iou

    @property
    def summary(self) -> dict[str, float]:
        """`mIoU`; `mAcc`, the mean recall; and `n`, the number of classes in the means."""
        return {"mIoU": self.all.iou, "mAcc": self.all.recall, "n": self.all.n}

    @property
    def per_class(self) -> dict[int, dict[str, Any]]:
        """By category id `name, IoU, precision, recall, tp, gt_pixels, pred_pixels`."""
        return super().per_class

    def table(self) -> str:
        """Aligned text, in per cent: the means, then each class that is present."""
        means = [("All", percent(self.all.iou), percent(self.all.recall), self.all.n)]
        classes = iou_table("class", self.classes.values())
        return f"{text_table(('', 'mIoU', 'mAcc', 'n'), means)}\n\n{classes}"

    def flat(self) -> dict[str, float]:
        """One number for each key, see [`Result.flat`][pps_torch.metrics.results.Result.flat].

        Keys are `"IoU/all"`, `"Recall/all"`, `"IoU/road"`, `"Precision/road"` and so on.
        """
        return flat_ious(self.all, self.classes)


class MeanIoU(SumMetric):
    """Mean IoU of scene classes (mIoU), accumulated over batches on the device of its state.

    From the confusion matrix of the whole data set, for each class

        IoU = pixels of the class in both maps / pixels of the class in either

    and the mean over the classes that the ground truth has.

    `update` reads semantic maps. With panoptic maps there is no need to: `add` takes
    what a `PanopticQuality` or `PartPanopticQuality` of the same classes has
    compared, and the maps are read once for both. Crowds have a class, so they count.

    Args:
        categories: COCO category dicts (`id`, `name`, `isthing`), or an `EvalSpec`.
        ignore_label: the value of void pixels in semantic maps; by default that of the spec, else
            255.
        validate: look for unknown categories at once, and raise at the update that meets them;
            None does so where it waits for no device, on the CPU; by default such pixels are
            counted, and `compute` raises. Either way the state is spoilt until `reset`.
        backend: `"torch"`, `"triton"` or `"auto"`, which is Triton on CUDA; the same bits.

    Raises:
        TypeError: for a category id that is not an integer.
        ValueError: for bad categories, an `ignore_label` that is one, or another backend.
        RuntimeError: at an update that `"triton"` cannot run.

    Example:
        Two pixels of road (7), both found, and two of car (26), of which one is taken for road:

        >>> import torch
        >>> metric = MeanIoU([{"id": 7, "name": "road", "isthing": 0},
        ...                   {"id": 26, "name": "car", "isthing": 1}])
        >>> pred, target = torch.tensor([[7, 7, 7, 26]]), torch.tensor([[7, 7, 26, 26]])
        >>> result = metric.update(pred, target).compute()
        >>> road, car = result.classes[7], result.classes[26]
        >>> round(road.iou, 3), car.iou, round(result.all.iou, 3)  # 2/3, 1/2, their mean
        (0.667, 0.5, 0.583)
    """

    confusion: Tensor
    class_of_id: Tensor

    def __init__(
        self,
        categories: Sequence[Mapping[str, Any]] | EvalSpec,
        *,
        ignore_label: int | None = None,
        validate: bool | None = False,
        backend: str = "auto",
    ) -> None:
        checked = named_categories(categories, highest_id=_HIGHEST_ID)
        if ignore_label is None:
            ignore_label = categories.ignore_label if isinstance(categories, EvalSpec) else PPS_VOID
        ids = [category["id"] for category in checked]
        try:
            ignore_label = operator.index(ignore_label)
        except TypeError:
            raise TypeError(f"ignore_label: expected an int, found {ignore_label!r}") from None
        if ignore_label in ids:
            raise ValueError(f"ignore_label: expected an id of no category, found {ignore_label}")
        super().__init__(ids, (ignore_label,), _FAULTS, validate, backend)
        self.categories, self.ignore_label = checked, ignore_label
        self._add_state("confusion", len(ids), len(ids) + 1)
        class_of_id = torch.full((max(ids, default=-1) + 2,), len(ids), device="cpu")
        class_of_id[ids] = torch.arange(len(ids), device="cpu")
        self._hold_tables(class_of_id=class_of_id)

    def update(self, pred: Tensor | list[Tensor], target: Tensor | list[Tensor]) -> MeanIoU:
        """Count a batch of images, or a list of images, which may differ in size.

        Where an image of a list raises, those before it stay counted.

        Args:
            pred: `(*B, H, W)` category ids, any integer dtype.
            target: the same, of the ground truth. `ignore_label` is void in both: such pixels of
                the ground truth are not evaluated, those of the prediction are missed.

        Returns:
            self.

        Raises:
            TypeError, ValueError: for a wrong dtype, shape or device, naming the argument.
            ValueError: for unknown categories, as `validate` says.
            RuntimeError: if the state already holds all processes.
        """
        self._check_may_count("update")
        if isinstance(pred, list) or isinstance(target, list):
            return self._update_each(pred, target)
        for name, value in (("pred", pred), ("target", target)):
            check_integer(name, value)
            check_ndim(name, value, 2, "(*B, H, W)")
            check_device(name, value, self.confusion)
        check_shape("target", target, tuple(pred.shape))
        num_images, num_pixels = target.shape[:-2].numel(), target.shape[-2:].numel()
        maps = (values.reshape(num_images, num_pixels) for values in (target, pred))
        pairs = LabelPairs(*maps, backend=self.backend)
        gt_class, pred_class = (self._classes(ids) for ids in pairs.maps)
        size = len(self.class_ids) + 1
        self.confusion += pairs.count(gt_class, pred_class, size, size)[:-1]
        unknown = [
            pairs.num_pixels_of((classes == size - 1) & (ids.long() != self.ignore_label))
            for classes, ids in zip((gt_class, pred_class), pairs.maps)
        ]
        self._add_faults(torch.stack([*unknown, torch.zeros_like(unknown[0])]))
        return self

    def add(self, comparison: SegmentComparison) -> MeanIoU:
        """Count a batch from the overlaps of its segments, without reading maps.

        Args:
            comparison: what the `compare` of a metric of the same classes returned.

        Raises:
            ValueError: for a comparison of other classes; for bad ids, as `validate` says.
            RuntimeError: if the state already holds all processes.

        Example:
            >>> import torch
            >>> from pps_torch import PartPanopticQuality
            >>> spec = EvalSpec.load("cpp_default")
            >>> part_pq, mean_iou = PartPanopticQuality(spec), MeanIoU(spec)
            >>> pps = torch.tensor([[[7, 26, 26]], [[1, 1, 1]], [[1, 2, 5]]])
            >>> comparison = part_pq.compare(pps, torch.tensor([[7, 26_001_02, 26_001_05]]))
            >>> mean_iou.add(comparison).compute().summary
            {'mIoU': 1.0, 'mAcc': 1.0, 'n': 2}
        """
        self._check_may_count("add")
        check_comparison(comparison, self.class_ids)
        classes = comparison.gt_class, comparison.pred_class
        confusion = class_confusion(comparison.pairs, *classes, len(self.class_ids))
        self.confusion += confusion.sum(0)
        faults = comparison.faults.sum()
        self._add_faults(torch.stack([torch.zeros_like(faults)] * 2 + [faults]))
        return self

    def compute(self) -> MeanIoUResult:
        """Compute the numbers of everything counted so far.

        Raises:
            ValueError: if updates had unknown categories, with numbers.
        """
        self._raise_faults()
        names = [category["name"] for category in self.categories]
        classes = class_ious(self.confusion, names)
        return MeanIoUResult(all=iou_mean(classes), classes=dict(zip(self.class_ids, classes)))

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "ignore_label": self.ignore_label}

    def _question(self, faults: Mapping[str, int], *inputs: Any) -> str:
        return question_about_ids(self.class_ids) if any(faults[name] for name in _UNKNOWN) else ""

    def _classes(self, ids: Tensor) -> Tensor:
        """Look up the class index of each id, C for ids of no class."""
        last = len(self.class_of_id) - 1
        ids = ids.long()
        return self.class_of_id[torch.where(ids < 0, last, ids).clamp(max=last)]

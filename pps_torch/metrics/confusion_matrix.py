"""IoU, precision and recall of classes, from the confusion matrix of a data set.

The rule is that of panoptic_parts' `experimental_evaluation_IOU` and of Detectron2's
`SemSegEvaluator`: the matrix is summed over the data set; pixels of ground-truth void are in no
row; a pixel without prediction is missed by its class and false for none; and the means run over
the classes that the ground truth has. A class that is only predicted costs the others their pixels;
cityscapesScripts' `evalPixelLevelSemanticLabeling` also counts it in the mean, with 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pps_torch.metrics.class_counts import mean_of_present
from pps_torch.metrics.results import Loadable, flat_numbers
from pps_torch.metrics.text_tables import percent, text_table


@dataclass(frozen=True)
class IoUMean(Loadable):
    """Means over the classes, or the parts, that the ground truth has.

    Attributes:
        iou, recall: fractions 0..1; nan where n is 0.
        n: number of those classes.
    """

    iou: float
    recall: float
    n: int


@dataclass(frozen=True)
class ClassIoU(Loadable):
    """The pixels of a class, or of a part, in the data set.

    Attributes:
        name: of the class.
        iou: `tp / (gt_pixels + pred_pixels - tp)`, a fraction 0..1; nan where that is 0 / 0.
        precision, recall: `tp / pred_pixels` and `tp / gt_pixels`; nan where that is 0 / 0.
        tp: pixels that both maps have.
        gt_pixels, pred_pixels: pixels of the ground truth, and of the prediction where the ground
            truth is evaluated.
    """

    name: str
    iou: float
    precision: float
    recall: float
    tp: int
    gt_pixels: int
    pred_pixels: int

    def row(self) -> dict[str, Any]:
        """The numbers by the keys of `per_class`."""
        numbers = vars(self).copy()
        return {"name": numbers.pop("name"), "IoU": numbers.pop("iou"), **numbers}


def class_ious(confusion: Tensor, names: Sequence[str]) -> list[ClassIoU]:
    """The numbers of each class; leaves the device.

    Args:
        confusion: `(C, C + 1)` int64 pixels: class of the ground truth, class predicted; the last
            column is no class.
        names: of the classes.
    """
    confusion = confusion.cpu()
    columns = confusion.diagonal(), confusion.sum(1), confusion[:, :-1].sum(0)
    return [
        ClassIoU(
            name=name,
            iou=_ratio(tp, gt + pred - tp),
            precision=_ratio(tp, pred),
            recall=_ratio(tp, gt),
            tp=tp,
            gt_pixels=gt,
            pred_pixels=pred,
        )
        for name, tp, gt, pred in zip(names, *(column.tolist() for column in columns))
    ]


def iou_mean(classes: Sequence[ClassIoU]) -> IoUMean:
    """The means over the classes that the ground truth has."""
    iou, n = mean_of_present((c.iou, c.gt_pixels > 0) for c in classes)
    recall, _ = mean_of_present((c.recall, c.gt_pixels > 0) for c in classes)
    return IoUMean(iou, recall, n)


def iou_table(title: str, classes: Iterable[ClassIoU]) -> str:
    """Aligned text, in per cent: the classes that are in the ground truth or predicted."""
    cells = [
        (c.name, percent(c.iou), percent(c.precision), percent(c.recall))
        for c in classes
        if c.gt_pixels + c.pred_pixels
    ]
    return text_table((title, "IoU", "precision", "recall"), cells)


def flat_ious(mean: IoUMean, classes: Mapping[int, ClassIoU], prefix: str = "") -> dict[str, float]:
    """The numbers by keys such as `"IoU/all"` and `"Precision/road"`, each after a prefix."""
    keys = {name: prefix + key for name, key in (("iou", "IoU"), ("recall", "Recall"))}
    class_keys = {**keys, "precision": f"{prefix}Precision"}
    return flat_numbers(keys, {"all": mean}, class_keys, classes)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan

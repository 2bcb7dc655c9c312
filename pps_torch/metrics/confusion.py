"""IoU, precision and recall of classes, from the confusion matrix of a data set.

The rule is that of panoptic_parts' `experimental_evaluation_IOU` and of Detectron2's
`SemSegEvaluator`: the matrix is summed over the data set; pixels of ground-truth void are in no
row; a pixel without prediction is missed by its class and false for none; and the means run over
the classes that the ground truth has. A class that is only predicted costs the others their pixels;
cityscapesScripts' `evalPixelLevelSemanticLabeling` also counts it in the mean, with 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pps_torch.metrics.text_tables import mean_of_present, percent, text_table


def confusion_rows(confusion: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """What is known of each class; leaves the device.

    Args:
        confusion: `(C, C + 1)` int64 pixels: class of the ground truth, class predicted; the last
            column is no class.
        names: of the classes.

    Returns:
        for each class `name, IoU, precision, recall, tp, gt_pixels, pred_pixels`; nan where the
        denominator is 0.
    """
    confusion = confusion.cpu()
    columns = confusion.diagonal(), confusion.sum(1), confusion[:, :-1].sum(0)
    return [
        {
            "name": name,
            "IoU": _ratio(tp, gt + pred - tp),
            "precision": _ratio(tp, pred),
            "recall": _ratio(tp, gt),
            "tp": tp,
            "gt_pixels": gt,
            "pred_pixels": pred,
        }
        for name, tp, gt, pred in zip(names, *(column.tolist() for column in columns))
    ]


def mean_over_ground_truth(rows: Sequence[dict[str, Any]], key: str) -> tuple[float, int]:
    """Mean over the classes that the ground truth has, and their number; nan where it is 0."""
    return mean_of_present((row[key], row["gt_pixels"] > 0) for row in rows)


def confusion_table(title: str, rows: Sequence[dict[str, Any]]) -> str:
    """Aligned text, in per cent: the classes that are in the ground truth or predicted."""
    keys = ("IoU", "precision", "recall")
    present = [row for row in rows if row["gt_pixels"] + row["pred_pixels"]]
    cells = [(row["name"], *(percent(row[key]) for key in keys)) for row in present]
    return text_table((title, *keys), cells)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")

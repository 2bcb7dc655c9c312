"""Writes the state dicts of this folder with whatever version of the package is importable.

`python record.py FOLDER`, from the root of a checkout of the version to record; the numbers of
the metrics go into `expected.json` beside that folder.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path

import numpy as np
import torch

from pps_torch import (
    BoundaryPanopticQuality,
    EvalSpec,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartIoU,
    PartPanopticQuality,
)

CATEGORIES = [
    {"id": 3, "name": "road", "isthing": 0},
    {"id": 7, "name": "car", "isthing": 1},
    {"id": 200, "name": "sky", "isthing": 0},
]
GT = np.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 3], [4, 4, 3, 3, 3, 3], [4, 0, 0, 3, 3, 3]])
PRED = np.array([[1, 1, 1, 1, 2, 2], [1, 1, 1, 2, 2, 2], [4, 3, 3, 3, 3, 3], [4, 4, 0, 3, 3, 3]])
#: By segment id: category, uid of the ground truth, and channels of the prediction.
CATEGORY = np.array([255, 3, 7, 200, 7])
UID = np.array([0, 7, 26_001_02, 26_001_05, 24_002_01])
PPS = np.array([(255, 0, 0), (7, 0, 1), (26, 1, 2), (26, 1, 5), (24, 1, 1)])


@functools.cache
def cpp_default() -> EvalSpec:
    return EvalSpec.load("cpp_default")


def metrics() -> dict[str, torch.nn.Module]:
    """Each class of metric, and one of other rules."""
    spec = cpp_default()
    return {
        "PanopticQuality": PanopticQuality(CATEGORIES),
        "PanopticQuality_torchmetrics": PanopticQuality(CATEGORIES, rules="torchmetrics"),
        "ModifiedPanopticQuality": ModifiedPanopticQuality(CATEGORIES),
        "BoundaryPanopticQuality": BoundaryPanopticQuality(CATEGORIES, dilation_ratio=0.1),
        "PartPanopticQuality": PartPanopticQuality(spec),
        "MeanIoU": MeanIoU(CATEGORIES),
        "PartIoU": PartIoU(spec),
    }


def update(metric: torch.nn.Module) -> None:
    """Counts the one scene of this file."""
    if isinstance(metric, (PartPanopticQuality, PartIoU)):
        metric.update(torch.from_numpy(PPS[PRED]).permute(2, 0, 1), torch.from_numpy(UID[GT]))
    elif isinstance(metric, MeanIoU):
        metric.update(*(torch.from_numpy(CATEGORY[ids]) for ids in (PRED, GT)))
    else:
        segments = [{"id": k, "category_id": int(CATEGORY[k])} for k in range(1, len(CATEGORY))]
        pred = PanopticSegmentation.from_segments(torch.from_numpy(PRED), segments)
        metric.update(pred, PanopticTarget.from_segments(torch.from_numpy(GT), segments))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, metric in metrics().items():
        update(metric)
        torch.save(metric.state_dict(), folder / f"{name}.pt")
        expected[name] = metric.compute().as_dict()
    (folder.parent / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

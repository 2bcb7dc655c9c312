"""Scenes of irregular cells from integers alone, the same on every machine and release."""

from __future__ import annotations

import numpy as np

CATEGORIES = [{"id": i, "name": f"class {i}", "isthing": int(i > 2)} for i in (1, 2, 3, 4)]


def cells(height: int, width: int, count: int, shift: int) -> np.ndarray:
    """(H, W) ids 1..count: the nearest of `count` points, each moved a little by `shift`."""
    number = np.arange(1, count + 1)
    rows = (number * 37) % height + shift * ((number * 7) % 5 - 2)
    columns = (number * 53) % width + shift * ((number * 11) % 7 - 3)
    y, x = np.mgrid[:height, :width]
    distances = (y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2
    return distances.argmin(2) + 1


def cell_pair(height: int, width: int, count: int = 24):
    """(pred ids, pred segments, gt ids, gt segments) with void in both maps and crowds."""
    gt_ids, pred_ids = (cells(height, width, count, shift) for shift in (0, 1))
    gt_ids[gt_ids % 9 == 4] = 0
    pred_ids[pred_ids % 13 == 6] = 0
    pred_ids[: height // 3, : width // 4] = 5

    def segments(ids: np.ndarray, crowds: int) -> list[dict]:
        return [
            {"id": i, "category_id": i % 4 + 1, "iscrowd": int(i % 11 == crowds)}
            for i in np.unique(ids).tolist()
            if i > 0
        ]

    return pred_ids, segments(pred_ids, -1), gt_ids, segments(gt_ids, 5)

"""Slow reference for the PPS map: scene class, and within the class instance number and part."""

from __future__ import annotations

import numpy as np

NO_PART = 1


def merge_pps(
    panoptic: np.ndarray, categories: list[int], part_seg: np.ndarray, spec
) -> np.ndarray:
    """(3, H, W) int32: segment k is of class categories[k - 1]; part_seg holds flat part ids."""
    pid_of_flat = {}
    for (sid, pid), flat in spec.eval_sid_pid_to_flat.items():
        pid_of_flat.setdefault(sid, {})[flat] = pid
    pps = np.zeros((3, *panoptic.shape), np.int32)
    pps[0] = spec.ignore_label
    count = {}
    for segment_id, category in enumerate(categories, start=1):
        count[category] = count.get(category, 0) + 1
        for y, x in np.argwhere(panoptic == segment_id):
            part = NO_PART
            if category in spec.parts:
                part = pid_of_flat[category].get(int(part_seg[y, x]), spec.ignore_label)
            pps[:, y, x] = category, count[category], part
    return pps

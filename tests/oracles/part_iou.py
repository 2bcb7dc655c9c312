"""Slow reference for PartIoU and mIoU: one pixel at a time, IoUs from lists of labels."""

from __future__ import annotations

import math

import numpy as np

from tests.oracles.part_panoptic_quality import eval_part
from tests.oracles.uids import decode_uid

BACKGROUND, NOTHING = 0, None


def label_pixels(pps: np.ndarray, uids: np.ndarray, spec):
    """Pairs (ground truth, prediction) of every evaluated pixel: scene classes, and flat parts."""
    flat = spec.eval_sid_pid_to_flat
    with_flat = {sid for sid, _ in flat}
    scenes, parts = [], []
    for uid, sid_pred, _, pid_pred in zip(uids.ravel(), *pps.reshape(3, -1)):
        sid, _, pid = decode_uid(int(uid))
        category = spec.dataset_sid_to_eval_sid.get(sid)
        if category is None:
            continue
        predicted = int(sid_pred) if int(sid_pred) in spec.scene_labels else NOTHING
        scenes.append((category, predicted))
        if category in with_flat:
            part = flat.get((category, eval_part(spec, sid, pid)), NOTHING)
        else:
            part = BACKGROUND
        if part is NOTHING:
            continue
        if predicted is NOTHING:
            part_pred = NOTHING
        elif predicted not in with_flat or pid_pred == 0:
            part_pred = BACKGROUND
        else:
            part_pred = flat.get((predicted, int(pid_pred)), NOTHING)
        parts.append((part, part_pred))
    return scenes, parts


def quality_of_labels(pairs: list[tuple]) -> dict[int, tuple[float, float, float]]:
    """{label: (IoU, precision, recall)} of the labels in the ground truth or prediction."""
    found = {}
    for label in {label for pair in pairs for label in pair if label is not NOTHING}:
        in_gt = {i for i, (gt, _) in enumerate(pairs) if gt == label}
        in_pred = {i for i, (_, pred) in enumerate(pairs) if pred == label}
        hits = len(in_gt & in_pred)
        precision = hits / len(in_pred) if in_pred else math.nan
        recall = hits / len(in_gt) if in_gt else math.nan
        found[label] = (hits / len(in_gt | in_pred), precision, recall)
    return found


def mean_iou(pairs: list[tuple]) -> tuple[float, int]:
    """Mean IoU over the labels of the ground truth, and their number."""
    quality, labels = quality_of_labels(pairs), {gt for gt, _ in pairs}
    if not labels:
        return math.nan, 0
    return sum(quality[label][0] for label in labels) / len(labels), len(labels)

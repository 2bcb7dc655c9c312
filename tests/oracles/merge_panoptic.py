"""Slow reference for the heuristic merge: instances by falling score, then large enough stuff."""

from __future__ import annotations

import numpy as np


def merge_panoptic(
    sem_seg: np.ndarray,
    pred_masks: np.ndarray,
    scores: np.ndarray,
    pred_classes: np.ndarray,
    *,
    stuff_ids,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area_limit: int = 4096,
) -> tuple[np.ndarray, list[dict]]:
    """(panoptic map, segments in order) of one image."""
    panoptic = np.zeros(sem_seg.shape, np.int32)
    covered = np.zeros(sem_seg.shape, bool)
    segments = []

    def add(mask: np.ndarray, **info) -> None:
        segments.append({"id": len(segments) + 1, **info, "area": int(mask.sum())})
        panoptic[mask] = len(segments)

    scores = [float(score) for score in scores]
    for source in sorted(range(len(scores)), key=lambda i: -scores[i]):
        mask = pred_masks[source].astype(bool)
        if scores[source] < score_threshold or not mask.any():
            continue
        if np.sum(mask & covered) / np.sum(mask) > overlap_threshold:
            continue
        if not (mask & ~covered).any():  # a segment has pixels, whatever the threshold
            continue
        info = {"category_id": int(pred_classes[source]), "score": scores[source], "source": source}
        add(mask & ~covered, isthing=True, **info)
        covered |= mask

    for category in stuff_ids:
        mask = (sem_seg == category) & (panoptic == 0)
        if mask.any() and mask.sum() >= stuff_area_limit:
            add(mask, category_id=int(category), isthing=False)
    return panoptic, segments

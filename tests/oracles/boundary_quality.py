"""Slow reference for Boundary PQ: each mask is eroded step by step, 3 x 3 at a time."""

from __future__ import annotations

import numpy as np

from tests.oracles.panoptic_quality import VOID


def boundary(mask: np.ndarray, distance: int) -> np.ndarray:
    """What erosion takes from a mask; beyond the image there is nothing."""
    inside = np.pad(mask, 1)
    for _ in range(distance):
        height, width = inside.shape
        shifted = np.pad(inside, 1)
        steps = [(y, x) for y in range(3) for x in range(3)]
        inside = np.all([shifted[y : y + height, x : x + width] for y, x in steps], axis=0)
    return mask & ~inside[1:-1, 1:-1]


def boundary_quality(
    pred_ids: np.ndarray,
    pred_segments: list[dict],
    gt_ids: np.ndarray,
    gt_segments: list[dict],
    distance: int,
) -> dict[int, list]:
    """{category: [iou sum, tp, fp, fn]} of one image, for categories that have a segment."""
    stats = {s["category_id"]: [0.0, 0, 0, 0] for s in pred_segments + gt_segments}
    no_gt, matched_pred, last_crowd = gt_ids == VOID, set(), {}
    for gt in gt_segments:
        category, gt_mask = gt["category_id"], gt_ids == gt["id"]
        if gt["iscrowd"]:
            last_crowd[category] = gt_mask
            continue
        stats[category][3] += 1
        for pred in pred_segments:
            if pred["category_id"] != category:
                continue
            pred_mask = pred_ids == pred["id"]
            pairs = [(gt_mask, pred_mask)]
            pairs.append((boundary(gt_mask, distance), boundary(pred_mask, distance)))
            iou = min((a & b).sum() / (a | (b & ~no_gt)).sum() for a, b in pairs)
            if iou > 0.5:
                stats[category][0] += iou
                stats[category][1] += 1
                stats[category][3] -= 1
                matched_pred.add(pred["id"])
    for pred in pred_segments:
        pred_mask = pred_ids == pred["id"]
        excused = no_gt | last_crowd.get(pred["category_id"], False)
        if pred["id"] not in matched_pred and (pred_mask & excused).sum() * 2 <= pred_mask.sum():
            stats[pred["category_id"]][2] += 1
    return stats

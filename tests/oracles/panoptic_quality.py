"""Slow reference for PQ: the matching rules of COCO and Cityscapes on maps of segment ids.

A segment is a dict with id and category_id, in the ground truth also iscrowd; id 0 is void.
Areas are counted in the maps, where panopticapi takes them from the JSON for the ground truth.
"""

from __future__ import annotations

import math

import numpy as np

VOID = 0


def panoptic_quality(
    pred_ids: np.ndarray, pred_segments: list[dict], gt_ids: np.ndarray, gt_segments: list[dict]
) -> dict[int, list]:
    """{category: [iou sum, tp, fp, fn]} of one image, for categories that have a segment."""
    stats = {s["category_id"]: [0.0, 0, 0, 0] for s in pred_segments + gt_segments}
    matched_pred, matched_gt = set(), set()
    for gt in gt_segments:
        for pred in pred_segments:
            if gt.get("iscrowd") or gt["category_id"] != pred["category_id"]:
                continue
            gt_mask, pred_mask = gt_ids == gt["id"], pred_ids == pred["id"]
            on_void = np.sum(pred_mask & (gt_ids == VOID))
            union = np.sum(gt_mask | pred_mask) - on_void
            inter = np.sum(gt_mask & pred_mask)
            if union > 0 and inter / union > 0.5:
                stats[gt["category_id"]][0] += inter / union
                stats[gt["category_id"]][1] += 1
                matched_gt.add(gt["id"])
                matched_pred.add(pred["id"])

    last_crowd = {}
    for gt in gt_segments:
        if gt.get("iscrowd"):
            last_crowd[gt["category_id"]] = gt["id"]
        elif gt["id"] not in matched_gt:
            stats[gt["category_id"]][3] += 1

    for pred in pred_segments:
        if pred["id"] in matched_pred:
            continue
        pred_mask = pred_ids == pred["id"]
        excused = gt_ids == VOID
        if pred["category_id"] in last_crowd:
            excused = excused | (gt_ids == last_crowd[pred["category_id"]])
        if np.sum(pred_mask & excused) / np.sum(pred_mask) <= 0.5:
            stats[pred["category_id"]][2] += 1
    return stats


def add_stats(total: dict[int, list], stats: dict[int, list]) -> dict[int, list]:
    """Adds the stats of one image to a running total, in place."""
    for category, values in stats.items():
        total[category] = [a + b for a, b in zip(total.get(category, [0.0, 0, 0, 0]), values)]
    return total


def qualities(iou: float, tp: int, fp: int, fn: int) -> tuple[float, float, float]:
    """(PQ, SQ, RQ) of one category; 0 where the category does not occur."""
    weight = tp + fp / 2 + fn / 2
    if weight == 0:
        return 0.0, 0.0, 0.0
    return iou / weight, iou / tp if tp else 0.0, tp / weight


def average(stats: dict[int, list], categories: list[int]) -> tuple[float, float, float, int]:
    """(PQ, SQ, RQ, n): means over the categories that occur; nan when none does."""
    present = [qualities(*stats[c]) for c in categories if c in stats and any(stats[c][1:])]
    if not present:
        return math.nan, math.nan, math.nan, 0
    pq, sq, rq = (sum(column) / len(present) for column in zip(*present))
    return pq, sq, rq, len(present)

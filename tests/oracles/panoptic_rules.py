"""Slow references for PQ by the rules of other implementations, and for PQ-dagger.

Each turns the maps into others, pixel by pixel, and counts with boolean masks. A segment is a dict
with id and category_id, in the ground truth also iscrowd; id 0 is void.
"""

from __future__ import annotations

import numpy as np

from tests.oracles.panoptic_quality import VOID, panoptic_quality


def deeplab2(pred_ids, pred_segments, gt_ids, gt_segments) -> dict[int, list]:
    """{category: [iou sum, tp, fp, fn]}: crowds are void, then the rules of COCO."""
    crowds = [s["id"] for s in gt_segments if s["iscrowd"]]
    gt_ids = np.where(np.isin(gt_ids, crowds), VOID, gt_ids)
    segments = [s for s in gt_segments if not s["iscrowd"]]
    return panoptic_quality(pred_ids, pred_segments, gt_ids, segments)


def deeplab2_labels(pred_labels, gt_labels, ignored: int, divisor: int) -> dict[int, list]:
    """{category: [iou sum, tp, fp, fn]} of maps of category * divisor + instance.

    The ignored class is void with instance 0. With another instance it is ground truth that is not
    missed, stays in the union of a prediction and excuses none; predicted, it is not counted.
    """
    void = gt_labels == ignored * divisor
    stats: dict[int, list] = {}
    matched = set()
    for gt in np.unique(gt_labels):
        for pred in np.unique(pred_labels):
            if gt // divisor != pred // divisor or gt // divisor == ignored:
                continue
            gt_mask, pred_mask = gt_labels == gt, pred_labels == pred
            inter = (gt_mask & pred_mask).sum()
            iou = inter / (gt_mask.sum() + pred_mask.sum() - inter - (pred_mask & void).sum())
            if iou > 0.5:
                row = stats.setdefault(int(gt // divisor), [0.0, 0, 0, 0])
                row[0] += iou
                row[1] += 1
                matched |= {("gt", gt), ("pred", pred)}
    for gt in np.unique(gt_labels):
        if ("gt", gt) not in matched and gt // divisor != ignored:
            stats.setdefault(int(gt // divisor), [0.0, 0, 0, 0])[3] += 1
    for pred in np.unique(pred_labels):
        if ("pred", pred) not in matched and pred // divisor != ignored:
            mask = pred_labels == pred
            if (mask & void).sum() / mask.sum() <= 0.5:
                stats.setdefault(int(pred // divisor), [0.0, 0, 0, 0])[2] += 1
    return stats


def deeplab2_labels_of_segments(pred_ids, pred_segments, gt_ids, gt_segments) -> dict[int, list]:
    """The same of segments: crowds are instances of the ignored class."""
    ignored, divisor = 999, 1000
    maps = []
    for ids, segments in ((pred_ids, pred_segments), (gt_ids, gt_segments)):
        labels = np.full(ids.shape, ignored * divisor)
        for instance, segment in enumerate(segments, 1):
            category = ignored if segment.get("iscrowd") else segment["category_id"]
            labels[ids == segment["id"]] = category * divisor + instance
        maps.append(labels)
    return deeplab2_labels(*maps, ignored, divisor)


def panoptic_parts(pred_ids, pred_segments, gt_ids, gt_segments) -> dict[int, list]:
    """All crowds of a class as one segment, then the rules of COCO."""
    gt_ids, segments = gt_ids.copy(), []
    first_crowd = {}
    for segment in gt_segments:
        if not segment["iscrowd"]:
            segments.append(segment)
            continue
        first = first_crowd.setdefault(segment["category_id"], segment)
        gt_ids[gt_ids == segment["id"]] = first["id"]
    return panoptic_quality(pred_ids, pred_segments, gt_ids, segments + [*first_crowd.values()])


def merged(ids: np.ndarray, segments: list[dict], stuff: set[int]) -> dict[tuple, np.ndarray]:
    """{(category, instance): mask}, stuff without instances, as torchmetrics sees a map."""
    masks: dict[tuple, np.ndarray] = {}
    for segment in segments:
        category = segment["category_id"]
        key = (category, 0 if category in stuff else segment["id"])
        masks[key] = masks.get(key, False) | (ids == segment["id"])
    return masks


def torchmetrics(pred_ids, pred_segments, gt_ids, gt_segments, stuff) -> dict[int, list]:
    """Crowds are segments; what is void in either map leaves the union, and excuses its half."""
    pred, gt = merged(pred_ids, pred_segments, stuff), merged(gt_ids, gt_segments, stuff)
    no_pred, no_gt = pred_ids == VOID, gt_ids == VOID
    stats = {key[0]: [0.0, 0, 0, 0] for key in (*pred, *gt)}
    matched = set()
    for gt_key, gt_mask in gt.items():
        for pred_key, pred_mask in pred.items():
            union = ((gt_mask & ~no_pred) | (pred_mask & ~no_gt)).sum()
            inter = (gt_mask & pred_mask).sum()
            if gt_key[0] == pred_key[0] and inter / max(union, 1) > 0.5:
                stats[gt_key[0]][0] += inter / union
                stats[gt_key[0]][1] += 1
                matched |= {("gt", gt_key), ("pred", pred_key)}
    for key, mask in pred.items():
        if ("pred", key) not in matched and (mask & no_gt).sum() / mask.sum() <= 0.5:
            stats[key[0]][2] += 1
    for key, mask in gt.items():
        if ("gt", key) not in matched and (mask & no_pred).sum() / mask.sum() <= 0.5:
            stats[key[0]][3] += 1
    return stats


def dagger_by_torchmetrics(pred_ids, pred_segments, gt_ids, gt_segments, stuff):
    """{stuff category: [iou sum, ground-truth segments]} of its ModifiedPanopticQuality."""
    pred, gt = merged(pred_ids, pred_segments, stuff), merged(gt_ids, gt_segments, stuff)
    sums = {}
    for key, gt_mask in gt.items():
        if key[0] in stuff:
            pred_mask = pred.get(key, np.zeros_like(gt_mask))
            evaluated = (pred_ids != VOID) & (gt_ids != VOID)
            union = (gt_mask & (pred_ids != VOID)) | (pred_mask & (gt_ids != VOID))
            inter = (gt_mask & pred_mask & evaluated).sum()
            sums[key[0]] = [inter / max(union.sum(), 1), 1]
    return sums


def dagger_by_coco(pred_ids, pred_segments, gt_ids, gt_segments, stuff):
    """The same with segments as given, crowds left out, and predicted void in the union."""
    sums: dict[int, list] = {}
    for gt in gt_segments:
        if gt["category_id"] not in stuff or gt["iscrowd"]:
            continue
        total = sums.setdefault(gt["category_id"], [0.0, 0])
        total[1] += 1
        for pred in pred_segments:
            if pred["category_id"] == gt["category_id"]:
                gt_mask, pred_mask = gt_ids == gt["id"], pred_ids == pred["id"]
                union = gt_mask | (pred_mask & (gt_ids != VOID))
                total[0] += (gt_mask & pred_mask).sum() / union.sum()
    return sums

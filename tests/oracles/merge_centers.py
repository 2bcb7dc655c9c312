"""Slow reference for Panoptic-DeepLab's grouping: pixel by pixel to the nearest centre."""

from __future__ import annotations

import numpy as np

from tests.oracles.merge_queries import softmax


def find_centers(
    heatmap: np.ndarray, center_threshold: float, nms_kernel: int, top_k: int
) -> list[tuple[int, int]]:
    """(y, x) of the peaks of a map (H, W), row by row: those above the top_k-th best one."""
    reach = nms_kernel // 2
    peaks = []
    for y, x in np.ndindex(heatmap.shape):
        window = heatmap[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        if heatmap[y, x] > max(center_threshold, 0) and heatmap[y, x] == window.max():
            peaks.append((y, x))
    best = sorted((heatmap[peak] for peak in peaks), reverse=True)
    limit = best[top_k - 1] if len(best) >= top_k else 0
    return [peak for peak in peaks if heatmap[peak] > limit]


def merge_panoptic_centers(
    sem_seg_logits: np.ndarray,
    center_heatmap: np.ndarray,
    offsets: np.ndarray,
    *,
    thing_ids,
    center_threshold: float = 0.1,
    nms_kernel: int = 7,
    top_k: int = 200,
    stuff_area_limit: int = 2048,
) -> tuple[np.ndarray, list[dict]]:
    """(panoptic map, segments in order) of one image: (C, H, W), (1, H, W) and (2, H, W)."""
    sem_seg = sem_seg_logits.argmax(0)
    probs = softmax(sem_seg_logits.astype(np.float64).transpose(1, 2, 0))
    heatmap, offsets = center_heatmap[0].astype(np.float64), offsets.astype(np.float64)
    centers = find_centers(heatmap, center_threshold, nms_kernel, top_k)
    width = heatmap.shape[1]

    pixels_of_center = [[] for _ in centers]
    for y, x in np.ndindex(sem_seg.shape):
        if sem_seg[y, x] in thing_ids and centers:
            goal = y + offsets[0, y, x], x + offsets[1, y, x]
            distances = [(goal[0] - cy) ** 2 + (goal[1] - cx) ** 2 for cy, cx in centers]
            pixels_of_center[int(np.argmin(distances))].append((y, x))

    panoptic = np.zeros(sem_seg.shape, np.int32)
    segments = []
    for center, pixels in zip(centers, pixels_of_center):
        if not pixels:
            continue
        ys, xs = np.array(pixels).T
        category = int(np.bincount(sem_seg[ys, xs]).argmax())
        score = probs[ys, xs, category].mean() * heatmap[int(ys.mean()), int(xs.mean())]
        source = center[0] * width + center[1]
        info = {"category_id": category, "isthing": True, "source": source, "score": float(score)}
        segments.append({"id": len(segments) + 1, "area": len(pixels), **info})
        panoptic[ys, xs] = len(segments)
    for category in range(len(sem_seg_logits)):
        mask = sem_seg == category
        if category in thing_ids or not mask.any() or mask.sum() < stuff_area_limit:
            continue
        info = {"category_id": category, "isthing": False, "area": int(mask.sum())}
        segments.append({"id": len(segments) + 1, **info})
        panoptic[mask] = len(segments)
    return panoptic, segments

"""Slow reference for Mask2Former's inference: the largest score * probability has the pixel."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def upsample(logits: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, align_corners=False, edges repeated: (Q, h, w) -> (Q, height, width)."""
    result = np.zeros((len(logits), height, width))
    h, w = logits.shape[1:]
    for y in range(height):
        v = max((y + 0.5) * h / height - 0.5, 0)
        top = int(v)
        bottom = min(top + 1, h - 1)
        for x in range(width):
            u = max((x + 0.5) * w / width - 0.5, 0)
            left = int(u)
            right = min(left + 1, w - 1)
            upper = logits[:, top, left] * (1 - (u - left)) + logits[:, top, right] * (u - left)
            lower = logits[:, bottom, left] * (1 - (u - left)) + logits[:, bottom, right] * (
                u - left
            )
            result[:, y, x] = upper * (1 - (v - top)) + lower * (v - top)
    return result


def merge_panoptic_queries(
    class_logits: np.ndarray,
    mask_logits: np.ndarray,
    *,
    thing_ids,
    object_mask_threshold: float = 0.8,
    min_kept_fraction: float = 0.8,
    out_size: tuple[int, int] | None = None,
    paint: str = "confident",
    mask_threshold: float = 0.5,
) -> tuple[np.ndarray, list[dict]]:
    """(panoptic map, segments in order) of one image; the last class is "no object"."""
    mask_logits = mask_logits.astype(np.float64)
    if out_size is not None and tuple(out_size) != mask_logits.shape[-2:]:
        mask_logits = upsample(mask_logits, *out_size)
    class_probs = softmax(class_logits.astype(np.float64))
    probs = 1 / (1 + np.exp(-mask_logits))
    panoptic = np.zeros(probs.shape[-2:], np.int32)
    no_object = class_logits.shape[-1] - 1
    scores, classes = class_probs.max(axis=-1), class_probs.argmax(axis=-1)
    kept = [
        q
        for q in range(len(scores))
        if classes[q] != no_object and scores[q] > object_mask_threshold
    ]
    if not kept:
        return panoptic, []

    owner = np.array(kept)[np.argmax(np.stack([scores[q] * probs[q] for q in kept]), axis=0)]
    segments, stuff = [], {}
    for query in kept:
        confident = probs[query] >= mask_threshold
        mask = (owner == query) & (confident | (paint == "argmax"))
        if (
            not mask.any()
            or not confident.any()
            or np.sum(owner == query) / np.sum(confident) < min_kept_fraction
        ):
            continue
        category = int(classes[query])
        if category in stuff:
            panoptic[mask] = stuff[category]["id"]
            stuff[category]["area"] += int(mask.sum())
            continue
        segment = {
            "id": len(segments) + 1,
            "category_id": category,
            "isthing": category in thing_ids,
        }
        segment.update(area=int(mask.sum()), source=query, score=float(scores[query]))
        segments.append(segment)
        panoptic[mask] = segment["id"]
        if not segment["isthing"]:
            stuff[category] = segment
    return panoptic, segments

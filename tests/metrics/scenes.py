"""Random panoptic scenes as the metrics, the oracles and torchmetrics take them."""

from __future__ import annotations

import numpy as np
import torch

from pps_torch import PanopticSegmentation, PanopticTarget
from tests.factories import draw, panoptic_pair

CAPACITY = 14


def as_tensors(pair, capacity: int | None = CAPACITY):
    """An oracle's scene as (PanopticSegmentation, PanopticTarget)."""
    pred_ids, pred_segments, gt_ids, gt_segments = pair
    return (
        PanopticSegmentation.from_segments(
            torch.from_numpy(pred_ids), pred_segments, capacity=capacity
        ),
        PanopticTarget.from_segments(torch.from_numpy(gt_ids), gt_segments, capacity=capacity),
    )


def stack(images, batch: tuple[int, ...], device="cpu"):
    """NamedTuples of images -> one NamedTuple with batch dimensions."""
    fields = (torch.stack(f).reshape((*batch, *f[0].shape)).to(device) for f in zip(*images))
    return type(images[0])(*fields)


def pair_with_voids(rng, size):
    """A random scene, half of the time with more void in the prediction."""
    pred_ids, pred_segments, gt_ids, gt_segments = panoptic_pair(rng, size)
    if rng.random() < 0.5:
        draw(rng, pred_ids, [0], 2)
        pred_segments = [s for s in pred_segments if (pred_ids == s["id"]).any()]
    return pred_ids, pred_segments, gt_ids, gt_segments


def halves(pair):
    """(ids, segments) of the prediction, and of the ground truth."""
    return pair[:2], pair[2:]


def category_instance(ids: np.ndarray, segments: list[dict]) -> np.ndarray:
    """(1, H, W, 2) as torchmetrics takes it; 255 is no category."""
    out = np.stack([np.full_like(ids, 255), np.zeros_like(ids)], 2)
    for segment in segments:
        out[ids == segment["id"]] = segment["category_id"], segment["id"]
    return out[None]

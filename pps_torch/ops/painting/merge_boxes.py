"""The heuristic merge of masks in the frame of their boxes: all its steps as one operation."""

from __future__ import annotations

from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.painting.add_stuff import add_stuff, whole_pixels
from pps_torch.ops.painting.batch_dims import flatten_batch, unflatten_batch
from pps_torch.ops.painting.greedy_boxes import greedy_boxes
from pps_torch.ops.painting.rank_instances import rank_instances


def merge_boxes(
    mask_probs: Tensor,
    boxes: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    *,
    mask_threshold: float,
    score_threshold: float,
    overlap_threshold: float,
    stuff_area_limit: float,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Rank masks, choose among them, fill what is left with stuff, and number the segments.

    Args:
        mask_probs, boxes: `(*B, N, M, M)` and `(*B, N, 4)`, see
            [`greedy_boxes`][pps_torch.ops.painting.greedy_boxes.greedy_boxes].
        scores, pred_classes: `(*B, N)`, see
            [`rank_instances`][pps_torch.ops.painting.rank_instances].
        sem_seg: `(*B, H, W)` int; labels that are not in `stuff_ids` become void.
        stuff_ids, stuff_area_limit: see
            [`add_stuff`][pps_torch.ops.painting.add_stuff.add_stuff].
        mask_threshold, overlap_threshold: see
            [`greedy_boxes`][pps_torch.ops.painting.greedy_boxes.greedy_boxes].
        score_threshold: a score equal to it stays.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `PanopticSegmentation` of all images, with a capacity of N + K segments.
    """
    if uses_triton(backend, mask_probs):
        from pps_torch.ops.painting.triton import merge_boxes as twin

        inputs = (mask_probs, boxes, scores, pred_classes, sem_seg, stuff_ids)
        thresholds = (mask_threshold, score_threshold, overlap_threshold)
        least_area = whole_pixels(stuff_area_limit)
        return PanopticSegmentation(*twin.merge_boxes(*inputs, *thresholds, least_area))
    batch = sem_seg.shape[:-2]
    # Without `detach` a graph of gradients would hold what is made of every mask.
    mask_probs, boxes = flatten_batch(mask_probs.detach(), 3), flatten_batch(boxes.detach(), 2)
    scores, pred_classes = flatten_batch(scores.detach(), 1), flatten_batch(pred_classes, 1)
    sem_seg = flatten_batch(sem_seg, 2)
    order, eligible = rank_instances(
        scores, pred_classes, score_threshold=score_threshold, backend="torch"
    )
    height, width = sem_seg.shape[1:]
    owner, keep = greedy_boxes(
        mask_probs,
        boxes,
        order,
        eligible,
        (height, width),
        mask_threshold=mask_threshold,
        overlap_threshold=overlap_threshold,
        backend="torch",
    )
    merged = add_stuff(
        owner,
        keep,
        order,
        scores,
        pred_classes,
        sem_seg,
        stuff_ids,
        stuff_area_limit=stuff_area_limit,
        backend="torch",
    )
    return unflatten_batch(merged, batch)

"""The heuristic merge of masks of the size of the image: all its steps as one operation."""

from __future__ import annotations

from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.painting.add_stuff import add_stuff, whole_pixels
from pps_torch.ops.painting.batch_dims import flatten_batch, unflatten_batch
from pps_torch.ops.painting.greedy_masks import greedy_masks
from pps_torch.ops.painting.rank_instances import rank_instances


def merge_masks(
    masks: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    *,
    score_threshold: float,
    overlap_threshold: float,
    stuff_area_limit: float,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Rank masks, choose among them, fill what is left with stuff, and number the segments.

    Args:
        masks: `(*B, N, H, W)` bool.
        scores, pred_classes: `(*B, N)`, see
            [`rank_instances`][pps_torch.ops.painting.rank_instances].
        sem_seg: `(*B, H, W)` int; labels that are not in `stuff_ids` become void.
        stuff_ids, stuff_area_limit: see
            [`add_stuff`][pps_torch.ops.painting.add_stuff.add_stuff].
        score_threshold: a score equal to it stays.
        overlap_threshold: see [`greedy_masks`][pps_torch.ops.painting.greedy_masks.greedy_masks].
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `PanopticSegmentation` of all images, with a capacity of N + K segments.
    """
    if uses_triton(backend, masks):
        from pps_torch.ops.painting.triton import merge_masks as twin

        inputs = (masks, scores, pred_classes, sem_seg, stuff_ids)
        thresholds = (score_threshold, overlap_threshold, whole_pixels(stuff_area_limit))
        return PanopticSegmentation(*twin.merge_masks(*inputs, *thresholds))
    batch = sem_seg.shape[:-2]
    masks, sem_seg = flatten_batch(masks, 3).flatten(2), flatten_batch(sem_seg, 2)
    scores, pred_classes = flatten_batch(scores.detach(), 1), flatten_batch(pred_classes, 1)
    order, eligible = rank_instances(
        scores, pred_classes, score_threshold=score_threshold, backend="torch"
    )
    owner, keep = greedy_masks(
        masks, order, eligible, overlap_threshold=overlap_threshold, backend="torch"
    )
    merged = add_stuff(
        owner.view(sem_seg.shape),
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

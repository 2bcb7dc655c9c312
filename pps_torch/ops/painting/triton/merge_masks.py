"""The Triton twin of `merge_masks`: one operator that launches all steps."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher
from pps_torch.ops.painting.triton.add_stuff import Segments, new_segments, write_segments
from pps_torch.ops.painting.triton.greedy_masks import choose_masks
from pps_torch.ops.painting.triton.rank_instances import rank


@direct_operator("pps_torch::merge_masks")
def merge_masks(
    masks: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    score_threshold: float,
    overlap_threshold: float,
    least_area: int,
) -> Segments:
    """See [`merge_masks`][pps_torch.ops.painting.merge_masks.merge_masks]."""
    segments = new_segments(scores, sem_seg, stuff_ids)
    facts = (masks, scores, pred_classes, sem_seg, stuff_ids)
    launch = Launcher("merge_masks", *facts, score_threshold, overlap_threshold, least_area)
    owner, num_slots = segments[0], segments[1].numel()  # the map holds owners until it is painted
    num_images, num_masks = scores.shape[:-1].numel(), scores.shape[-1]
    masks = masks.reshape(num_images, num_masks, sem_seg.shape[-2:].numel())
    with torch.cuda.device_of(masks):
        order, eligible = rank(launch, scores, pred_classes, score_threshold)
        keep = torch.empty_like(eligible)
        inputs = (masks, order, eligible)
        counts = choose_masks(launch, *inputs, overlap_threshold, owner, keep, num_slots)
        inputs = (keep, order, scores, pred_classes, sem_seg, stuff_ids)
        write_segments(launch, segments, counts, owner, *inputs, None, least_area)
    return segments


@merge_masks.register_fake
def _outputs(
    masks: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    score_threshold: float,
    overlap_threshold: float,
    least_area: int,
) -> Segments:
    """Allocate the results; all that is known of them while a graph is captured."""
    return new_segments(scores, sem_seg, stuff_ids)

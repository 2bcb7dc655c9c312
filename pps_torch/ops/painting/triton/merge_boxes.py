"""The Triton twin of `merge_boxes`: one operator that launches all steps."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher
from pps_torch.ops.painting.triton.add_stuff import Segments, new_segments, write_segments
from pps_torch.ops.painting.triton.greedy_boxes import choose_boxes
from pps_torch.ops.painting.triton.rank_instances import rank


@direct_operator("pps_torch::merge_boxes")
def merge_boxes(
    mask_probs: Tensor,
    boxes: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    mask_threshold: float,
    score_threshold: float,
    overlap_threshold: float,
    least_area: int,
) -> Segments:
    """See [`merge_boxes`][pps_torch.ops.painting.merge_boxes.merge_boxes]."""
    segments = new_segments(scores, sem_seg, stuff_ids)
    facts = (mask_probs, boxes, scores, pred_classes, sem_seg, stuff_ids)
    launch = Launcher(
        "merge_boxes", *facts, mask_threshold, score_threshold, overlap_threshold, least_area
    )
    owner, num_slots = segments[0], segments[1].numel()  # the map holds owners until it is painted
    with torch.cuda.device_of(mask_probs):
        order, eligible = rank(launch, scores, pred_classes, score_threshold)
        keep = torch.empty_like(eligible)
        inputs = (mask_probs, boxes, order, eligible)
        counts = choose_boxes(
            launch, *inputs, mask_threshold, overlap_threshold, owner, keep, num_slots
        )
        inputs = (keep, order, scores, pred_classes, sem_seg, stuff_ids)
        write_segments(launch, segments, counts, owner, *inputs, None, least_area)
    return segments


@merge_boxes.register_fake
def _outputs(
    mask_probs: Tensor,
    boxes: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    mask_threshold: float,
    score_threshold: float,
    overlap_threshold: float,
    least_area: int,
) -> Segments:
    """Allocate the results; all that is known of them while a graph is captured."""
    return new_segments(scores, sem_seg, stuff_ids)

"""The heuristic merge of masks that are given as runs of pixels: all its steps as one operation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.ops.painting.add_stuff import add_stuff
from pps_torch.ops.painting.greedy_runs import greedy_runs
from pps_torch.ops.painting.rank_instances import rank_instances


def merge_runs(
    mask_runs: Sequence[Tensor],
    scores: Tensor,
    pred_classes: Tensor,
    sem_seg: Tensor,
    stuff_ids: Tensor,
    *,
    columns_first: bool,
    score_threshold: float,
    overlap_threshold: float,
    stuff_area_limit: float,
) -> PanopticSegmentation:
    """Merge one image as `merge_masks` does, on the CPU.

    Args:
        mask_runs: see [`greedy_runs`][pps_torch.ops.painting.greedy_runs.greedy_runs].
        scores, pred_classes: `(1, N)`, see
            [`rank_instances`][pps_torch.ops.painting.rank_instances].
        sem_seg: `(1, H, W)` int.
        stuff_ids: `(K,)` int64.
        columns_first: whether the runs go down the columns, as those of COCO do.
        score_threshold, overlap_threshold, stuff_area_limit: see
            [`merge_masks`][pps_torch.ops.painting.merge_masks.merge_masks].

    Returns:
        `PanopticSegmentation` of one image, with a capacity of N + K segments.
    """
    order, eligible = rank_instances(
        scores, pred_classes, score_threshold=score_threshold, backend="torch"
    )
    owner, keep = greedy_runs(
        mask_runs, order, eligible, sem_seg[0].numel(), overlap_threshold=overlap_threshold
    )
    if columns_first:
        owner = owner.view(sem_seg.shape[:0:-1]).T.contiguous()
    return add_stuff(
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

"""The order in which instances are taken: by falling score."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.graph_capture import in_float64
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.fold import is_one_loop


def rank_instances(
    scores: Tensor, pred_classes: Tensor, *, score_threshold: float, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Rank the instances of each image, and find those that may be kept.

    Args:
        scores: `(B, N)` float.
        pred_classes: `(B, N)`, any integer dtype: an instance of a negative class is none.
        score_threshold: a score equal to it stays; compared in float64.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `order (B, N)` int64, the index of the instance at each rank: falling scores, ties by
        index; and `eligible (B, N)` bool, by rank. NaN, -inf and negative classes rank last and
        are not eligible, whatever the threshold.
    """
    if uses_triton(backend, scores):
        from pps_torch.ops.painting.triton import rank_instances as twin

        return twin.rank_instances(scores, pred_classes, score_threshold)
    is_none = scores.isnan() | (pred_classes < 0)
    scores = scores.double().masked_fill(is_none, -torch.inf)
    if is_one_loop():
        order = _order(scores)
        ranked = scores.gather(1, order)
    else:
        ranked, order = scores.sort(dim=1, descending=True, stable=True)
    is_high = ranked >= in_float64(score_threshold, ranked)
    return order, is_high & (ranked > -torch.inf)


def _order(scores: Tensor) -> Tensor:
    """Order scores `(B, N)` by N x N comparisons, falling and stable: ONNX has no stable sort."""
    index = torch.arange(scores.shape[1], device=scores.device)
    one, other = scores[:, :, None], scores[:, None, :]
    is_before = (other > one) | ((other == one) & (index[None, :] < index[:, None]))
    index = index.expand(scores.shape)
    return torch.zeros_like(index).scatter(1, is_before.sum(2), index)

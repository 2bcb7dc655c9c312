"""Instances before the heuristic merge: their checks and their common shape."""

from __future__ import annotations

import math

from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_floating,
    check_fraction,
    check_integer,
    check_ndim,
    check_number,
    check_shape,
    checks_values,
)


def check_settings(
    score_threshold: float, overlap_threshold: float, stuff_area_limit: float
) -> None:
    """Raise TypeError or ValueError for thresholds against which nothing can be compared."""
    check_number("score_threshold", score_threshold)
    check_fraction("overlap_threshold", overlap_threshold)
    check_number("stuff_area_limit", stuff_area_limit)


def check_instances(
    scores: Tensor, pred_classes: Tensor, sem_seg: Tensor, *, validate: bool | None
) -> None:
    """Raise TypeError or ValueError unless scores and classes are `(*B, N)`, beside `sem_seg`.

    Args:
        scores: `(*B, N)` float.
        pred_classes: `(*B, N)` int.
        sem_seg: `(*B, H, W)` int.
        validate: refuse NaN scores and negative classes, too. Default: on the CPU only.
    """
    check_integer("sem_seg", sem_seg)
    check_ndim("sem_seg", sem_seg, 2, "(*B, H, W)")
    batch = sem_seg.shape[:-2]
    check_floating("scores", scores)
    check_integer("pred_classes", pred_classes)
    check_ndim("scores", scores, len(batch) + 1, "(*B, N)")
    check_shape("scores", scores, (*batch, scores.shape[-1]))
    check_shape("pred_classes", pred_classes, tuple(scores.shape))
    check_device("scores", scores, sem_seg)
    check_device("pred_classes", pred_classes, sem_seg)
    if not checks_values(validate, scores):
        return
    if bool(scores.isnan().any()):
        raise ValueError(f"scores: expected numbers, found {int(scores.isnan().sum())} NaN")
    if bool((pred_classes < 0).any()):
        raise ValueError(f"pred_classes: expected 0 or more, found {int(pred_classes.min())}")


def flatten_instances(scores: Tensor, pred_classes: Tensor) -> tuple[Tensor, Tensor]:
    """Flatten `(*B, N)` scores and classes to `(B, N)`."""
    shape = (math.prod(scores.shape[:-1]), scores.shape[-1])
    return scores.reshape(shape), pred_classes.reshape(shape)

"""The checks of instances before the heuristic merge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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


def check_mask_runs(mask_runs: Sequence[Tensor], count: int, sem_seg: Tensor) -> None:
    """Raise TypeError or ValueError unless masks are runs of the pixels of `sem_seg`, on the CPU.

    Args:
        mask_runs: masks `(K, 2)` int64, the borders of runs, rising.
        count: how many masks there must be.
        sem_seg: `(H, W)`.
    """
    if sem_seg.device.type != "cpu":
        raise ValueError(f"sem_seg: expected a tensor on the CPU, found {sem_seg.device}")
    if len(mask_runs) != count:
        raise ValueError(f"mask_runs: expected {count} masks, found {len(mask_runs)}")
    num_pixels = sem_seg.numel()
    for index, runs in enumerate(mask_runs):
        name = f"mask_runs[{index}]"
        check_integer(name, runs)
        if runs.dtype != torch.int64:
            raise TypeError(f"{name}: expected int64, found {runs.dtype}")
        check_shape(name, runs, (*runs.shape[:1], 2))
        check_device(name, runs, sem_seg)
        borders = runs.numpy().reshape(-1)
        inside = not len(borders) or (borders[0] >= 0 and borders[-1] <= num_pixels)
        if not inside or (borders[1:] < borders[:-1]).any():
            raise ValueError(f"{name}: expected rising borders in 0..{num_pixels}, found others")

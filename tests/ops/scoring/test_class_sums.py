"""Sums of segments by class: IoU as integers in two limbs, the same bits in any order."""

from __future__ import annotations

import numpy as np
import torch

from pps_torch.ops.scoring.class_sums import add_to_class_sums
from pps_torch.ops.scoring.contract import SegmentMatches
from tests.ops.twins import DEVICE, on_device


def sums_of(backend: str, scores, pred_of_gt, is_fn, is_fp, gt_class, pred_class):
    """The sums of three classes after two additions."""
    sums = torch.zeros(3, 5, dtype=torch.int64, device=DEVICE)
    unused = torch.zeros_like(pred_of_gt)
    matches = SegmentMatches(pred_of_gt, unused, scores, is_fn, is_fp, unused, unused)
    for _ in range(2):
        arguments = on_device((matches, scores, gt_class, pred_class))
        add_to_class_sums(sums, *arguments, backend=backend)
    return sums.cpu()


def test_by_hand():
    arguments = (
        torch.tensor([[0.0, 0.75, 1.0, 0.0]], dtype=torch.float64),
        torch.tensor([[0, 2, 1, 0]]),
        torch.tensor([[False, False, False, True]]),
        torch.tensor([[False, False, False, True, True]]),
        torch.tensor([[-1, 0, 0, 2]]),
        torch.tensor([[-1, 0, 0, 1, 1]]),
    )
    expected = [[2 * 1.75 * 2**30, 0, 4, 0, 0], [0, 0, 0, 4, 0], [0, 0, 0, 0, 2]]
    for backend in ("torch", "triton"):
        assert sums_of(backend, *arguments).tolist() == expected


def test_twins_and_the_value_of_the_limbs():
    rng = np.random.default_rng(0)
    for num_images, num_gt, num_pred in ((3, 301, 7), (2, 5, 290), (0, 4, 4)):
        scores = torch.from_numpy(rng.random((num_images, num_gt)))
        gt_class, pred_class = (
            torch.from_numpy(rng.integers(-3, 3, (num_images, size))) for size in (num_gt, num_pred)
        )
        pred_of_gt = torch.from_numpy(rng.integers(0, 2, (num_images, num_gt))) * (gt_class >= 0)
        is_fn, is_fp = (pred_of_gt == 0) & (gt_class >= 0), pred_class >= 0
        arguments = (scores, pred_of_gt, is_fn, is_fp, gt_class, pred_class)
        expected = sums_of("torch", *arguments)
        assert torch.equal(sums_of("triton", *arguments), expected)
        for index, (upper, lower, tp, fp, fn) in enumerate(expected.tolist()):
            is_tp = (pred_of_gt > 0) & (gt_class == index)
            total = 2 * scores[is_tp].sum().item()
            assert abs((upper * 2**30 + lower) / 2**60 - total) < 1e-12
            assert (tp, fn) == (2 * is_tp.sum(), 2 * (is_fn & (gt_class == index)).sum())
            assert fp == 2 * (is_fp & (pred_class == index)).sum()

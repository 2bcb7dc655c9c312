"""Batches as the metrics take them: random ones, and one of one segment."""

from __future__ import annotations

import numpy as np
import torch

from pps_torch import PanopticSegmentation, PanopticTarget
from tests.factories import INTEGER_DTYPES, panoptic_pair, pps_pair


def panoptic_batch(rng: np.random.Generator, size, count: int):
    """Arguments of PanopticQuality.update; capacities differ, and so may the dtypes."""
    pairs = [panoptic_pair(rng, size) for _ in range(max(count, 1))]
    kinds = (PanopticSegmentation, 0, 1, 13), (PanopticTarget, 2, 3, 17)
    batch = []
    for kind, ids, segments, capacity in kinds:
        images = [
            kind.from_segments(torch.from_numpy(p[ids]), p[segments], capacity=capacity)
            for p in pairs
        ]
        images = kind(*(torch.stack(column)[:count] for column in zip(*images)))
        dtype = INTEGER_DTYPES[rng.integers(len(INTEGER_DTYPES))]
        batch.append(images._replace(panoptic_seg=images.panoptic_seg.to(dtype)))
    return batch


def part_batch(rng: np.random.Generator, size, count: int, spec):
    """Arguments of PartPanopticQuality.update in the dtypes of files, or wider ones."""
    pairs = [pps_pair(rng, size, spec) for _ in range(max(count, 1))]
    pps, uids = (torch.from_numpy(np.stack(column))[:count] for column in zip(*pairs))
    narrow = rng.random() < 0.5
    return pps.to(torch.uint8 if narrow else torch.int16), uids.to(
        torch.int32 if narrow else torch.int64
    )


def one_image(pred_ids=((1, 1),), gt_ids=((1, 1),), pred_category=5, gt_category=5):
    """Tables of one row."""
    pred_ids, gt_ids = torch.tensor(pred_ids), torch.tensor(gt_ids)
    row = torch.tensor([0])
    return (
        PanopticSegmentation(
            pred_ids, row + pred_category, row > 0, row.double(), row, row, row[0] + 1
        ),
        PanopticTarget(gt_ids, row + gt_category, row > 0, row[0] + 1),
    )

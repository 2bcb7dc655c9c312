"""update() in one graph: random scenes, no graph break, the same state as eager.

Captured code takes the paths that CUDA takes, so these tests cover them on the CPU as well.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from pps_torch import (
    BoundaryPanopticQuality,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartIoU,
    PartPanopticQuality,
)
from tests.factories import CATEGORIES, panoptic_pair, pps_pair, remapped_spec

SIZE = (9, 14)
SPEC = remapped_spec()


def panoptic_images(rng: np.random.Generator, device):
    """A batch of two images as the arguments of PanopticQuality.update."""
    pairs = [panoptic_pair(rng, SIZE) for _ in range(2)]
    kinds = (PanopticSegmentation, 0, 1), (PanopticTarget, 2, 3)
    images = []
    for kind, ids, segments in kinds:
        tables = [
            kind.from_segments(torch.from_numpy(p[ids]), p[segments], capacity=14) for p in pairs
        ]
        images.append(kind(*(torch.stack(column).to(device) for column in zip(*tables))))
    return images


def part_images(rng: np.random.Generator, device):
    """A batch of two images as the arguments of PartPanopticQuality.update."""
    pairs = [pps_pair(rng, SIZE, SPEC) for _ in range(2)]
    return [torch.from_numpy(np.stack(column)).to(device) for column in zip(*pairs)]


def semantic_images(rng: np.random.Generator, device):
    """A batch of two images as the arguments of MeanIoU.update."""
    ids = [c["id"] for c in CATEGORIES]
    return torch.from_numpy(rng.choice([*ids, 255], (2, 2, *SIZE))).to(device).unbind()


METRICS = {
    "PanopticQuality": (functools.partial(PanopticQuality, CATEGORIES), panoptic_images),
    "PartPanopticQuality": (functools.partial(PartPanopticQuality, SPEC), part_images),
    "ModifiedPanopticQuality": (
        functools.partial(ModifiedPanopticQuality, CATEGORIES),
        panoptic_images,
    ),
    "BoundaryPanopticQuality": (
        functools.partial(BoundaryPanopticQuality, CATEGORIES, dilation_ratio=0.1),
        panoptic_images,
    ),
    "MeanIoU": (functools.partial(MeanIoU, CATEGORIES), semantic_images),
    "PartIoU": (functools.partial(PartIoU, SPEC), part_images),
    **{
        f"PanopticQuality, {rules}": (
            functools.partial(PanopticQuality, CATEGORIES, rules=rules),
            panoptic_images,
        )
        for rules in ("panoptic_parts", "torchmetrics", "deeplab2")
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
def test_captured_without_a_break_and_equal_to_eager(name, device):
    make, images = METRICS[name]
    rng, metric, twin = np.random.default_rng(0), make().to(device), make().to(device)
    torch.compiler.reset()
    captured = torch.compile(twin.update, backend="eager", fullgraph=True)
    for _ in range(6):
        batch = images(rng, device)
        metric.update(*batch)
        captured(*batch)
    assert metric.compute() == twin.compute()
    for key, value in metric.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value)

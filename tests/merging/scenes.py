"""Panoptic maps and raw heads that several tests merge."""

from __future__ import annotations

import numpy as np
import torch

from pps_torch import EvalSpec, PanopticSegmentation
from tests.factories import boxed_instances

SPEC = EvalSpec.load("cpp_default")


def stack_segmentations(panoptic, categories, batch, device) -> PanopticSegmentation:
    """A batch with the same number of segments in each image."""
    maps = torch.from_numpy(np.stack(panoptic)).reshape(*batch, *panoptic[0].shape).to(device)
    category_ids = torch.tensor(categories, dtype=torch.int64, device=device)
    category_ids = category_ids.reshape(*batch, len(categories[0]))
    none = torch.zeros_like(category_ids)
    count = torch.full(batch, category_ids.shape[-1], device=device)
    return PanopticSegmentation(maps, category_ids, none.bool(), none.double(), none, none, count)


def heads(rng: np.random.Generator, batch: tuple[int, ...], count: int = 5):
    """(semantic logits, mask probs, boxes, scores, class indices, part logits), image 24 x 32."""
    images = [boxed_instances(rng, (24, 32), count) for _ in range(np.prod(batch, dtype=int))]
    probs, boxes = (np.stack(a).reshape(*batch, *a[0].shape) for a in zip(*images))
    return (
        torch.from_numpy(rng.normal(size=(*batch, 19, 6, 8)).astype(np.float32)),
        torch.from_numpy(probs),
        torch.from_numpy(boxes),
        torch.from_numpy(rng.choice([0.25, 0.5, 0.75], (*batch, count)).astype(np.float32)),
        torch.from_numpy(rng.integers(0, len(SPEC.things), (*batch, count))),
        torch.from_numpy(rng.normal(size=(*batch, 24, 12, 16)).astype(np.float32)),
    )

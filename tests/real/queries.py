"""Raw heads and settings of Mask2Former and the models that were made from it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

NUM_CLASSES, THINGS = 7, (0, 2, 5)
PROJECTS_PAGE = "docs/integrations/detectron2_projects.md"


def scene(
    seed: int, size: tuple[int, int] = (64, 96), num_labels: int = NUM_CLASSES + 1
) -> tuple[Tensor, Tensor]:
    """Class logits `(40, num_labels)` and mask logits `(40, H, W)` of overlapping queries."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, num_labels, (40,), generator=generator)
    mask_cls = torch.randn(40, num_labels, generator=generator)
    mask_cls[range(40), classes] += 9 * torch.rand(40, generator=generator)
    owners = torch.randint(0, 40, (1, 8, 12), generator=generator) // 2
    cells = torch.where(owners == torch.arange(40)[:, None, None] // 2, 2.0, -3)[:, None]
    cells = cells + 0.5 * torch.randn(40, 1, 8, 12, generator=generator)
    return mask_cls, nn.functional.interpolate(cells, size, mode="bilinear")[:, 0]


def settings(metadata: Any, num_classes: int = NUM_CLASSES, **others: Any) -> dict[str, Any]:
    """Arguments of such a model, with a head that returns what it is given."""
    head = nn.Identity()
    head.num_classes = num_classes
    return {
        "backbone": nn.Identity(),
        "sem_seg_head": head,
        "criterion": None,
        "num_queries": 40,
        "object_mask_threshold": 0.5,
        "overlap_threshold": 0.8,
        "metadata": metadata,
        "size_divisibility": 32,
        "sem_seg_postprocess_before_inference": True,
        "pixel_mean": [0.0] * 3,
        "pixel_std": [1.0] * 3,
        "semantic_on": False,
        "panoptic_on": True,
        "instance_on": False,
        "test_topk_per_image": 100,
        **others,
    }

"""The list of segments in Detectron2's `panoptic_seg` output."""

from __future__ import annotations

from typing import Any

from pps_torch.formats import PanopticSegmentation


def detectron2_segments_info(panoptic: PanopticSegmentation) -> list[dict[str, Any]]:
    """List the segments of one image as Detectron2's `combine_semantic_and_instance_outputs` does.

    The list is made on the host, so this step waits for the device.

    Args:
        panoptic: one image.

    Returns:
        a dict for each segment, with Detectron2's keys in its order: `id, isthing, score,
        category_id, instance_id` (the index among the instances) of a thing, `id, isthing,
        category_id, area` of stuff.

    Raises:
        ValueError: `panoptic` is a batch.

    Example:
        >>> import torch
        >>> from pps_torch import merge_panoptic
        >>> merged = merge_panoptic(torch.ones(1, 2, dtype=torch.long),
        ...                         torch.tensor([[[True, False]]]), torch.tensor([0.75]),
        ...                         torch.tensor([2]), stuff_ids=[1], stuff_area_limit=1)
        >>> for info in detectron2_segments_info(merged): print(info)
        {'id': 1, 'isthing': True, 'score': 0.75, 'category_id': 2, 'instance_id': 0}
        {'id': 2, 'isthing': False, 'category_id': 1, 'area': 1}
    """
    if panoptic.category_ids.ndim != 1:
        shape = tuple(panoptic.panoptic_seg.shape)
        raise ValueError(f"panoptic: expected one image (H, W), found {shape}")
    return [_thing(info) if info["isthing"] else _stuff(info) for info in panoptic.segments_info()]


def _thing(info: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": info["id"],
        "isthing": True,
        "score": info["score"],
        "category_id": info["category_id"],
        "instance_id": info["source"],
    }


def _stuff(info: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": info["id"],
        "isthing": False,
        "category_id": info["category_id"],
        "area": info["area"],
    }

"""The merge of Panoptic-DeepLab, a project of Detectron2, on the device of the model."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from detectron2.modeling.postprocessing import sem_seg_postprocess
from detectron2.structures import BitMasks, ImageList, Instances
from torch import Tensor, nn

from pps_torch.formats import PanopticSegmentation
from pps_torch.merging import CenterPanopticMerger

_CLASS = "PanopticDeepLab"


def merges_centers(model: nn.Module) -> bool:
    """Whether a model is a `PanopticDeepLab` with that class's `forward`; nothing is imported."""
    kinds = [kind for kind in type(model).__mro__ if kind.__name__ == _CLASS]
    return bool(kinds) and type(model).forward is kinds[0].forward  # type: ignore[attr-defined]


def fuse_centers(model: Any) -> None:
    """Let a Panoptic-DeepLab merge with `CenterPanopticMerger`; training stays as it is.

    Args:
        model: see `merges_centers`. Its thresholds are read once, by this call.
    """
    model.fused_merge = CenterPanopticMerger(
        sorted(model.meta.thing_dataset_id_to_contiguous_id.values()),
        center_threshold=model.threshold,
        nms_kernel=model.nms_kernel,
        top_k=model.top_k,
        stuff_area_limit=model.stuff_area,
    ).to(model.device)
    model.forward = MethodType(_forward, model)


def _forward(model: Any, batched_inputs: list[dict[str, Any]]) -> Any:
    """Run `PanopticDeepLab.forward` with the fused merge in place of its own.

    Returns:
        for each image `sem_seg` logits, `panoptic_seg`, a map of `category * label_divisor +
        instance` with None, and `instances` where `PREDICT_INSTANCES` asks for them.
    """
    if model.training or model.benchmark_network_speed:
        return type(model).forward(model, batched_inputs)
    images = [inputs["image"].to(model.device) for inputs in batched_inputs]
    images = [(image - model.pixel_mean) / model.pixel_std for image in images]
    divisibility = model.size_divisibility or 0
    if divisibility <= 0:
        divisibility = model.backbone.size_divisibility
    batch = ImageList.from_tensors(images, divisibility)
    features = model.backbone(batch.tensor)
    sem_seg, _ = model.sem_seg_head(features, None, None)
    centers, offsets, _, _ = model.ins_embed_head(features, None, None, None, None)
    outputs = []
    for index, inputs in enumerate(batched_inputs):
        size = inputs.get("height"), inputs.get("width")
        heads = [
            sem_seg_postprocess(head[index], batch.image_sizes[index], *size)
            for head in (sem_seg, centers, offsets)
        ]
        panoptic = model.fused_merge(*heads)
        output = {
            "sem_seg": heads[0],
            "panoptic_seg": (panoptic.to_labels(model.meta.label_divisor), None),
        }
        if model.predict_instances and bool(panoptic.is_thing.any()):
            output["instances"] = _instances(panoptic)
        outputs.append(output)
    return outputs


def _instances(panoptic: PanopticSegmentation) -> Instances:
    """The instances of one image, by class and then in the order of their centres."""
    rows = panoptic.is_thing.nonzero()[:, 0]
    rows = rows[panoptic.category_ids[rows].sort(stable=True).indices]
    masks: Tensor = panoptic.panoptic_seg == (rows + 1)[:, None, None]
    return Instances(
        tuple(panoptic.panoptic_seg.shape),
        pred_classes=panoptic.category_ids[rows],
        pred_masks=masks,
        scores=panoptic.scores[rows].to(torch.float32),
        pred_boxes=BitMasks(masks).get_bounding_boxes(),
    )

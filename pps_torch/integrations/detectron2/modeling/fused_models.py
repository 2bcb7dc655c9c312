"""Built models whose merge is replaced by one of pps_torch: `use_fused_merge`."""

from __future__ import annotations

from types import MethodType
from typing import Any

from detectron2.modeling import PanopticFPN
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pps_torch.integrations.detectron2.class_ids import check_num_things
from pps_torch.integrations.detectron2.modeling.fused_centers import fuse_centers, merges_centers
from pps_torch.integrations.detectron2.modeling.fused_merge import FusedMerge
from pps_torch.integrations.detectron2.modeling.fused_queries import fuse_queries, merges_queries
from pps_torch.integrations.detectron2.modeling.output_size import resize_logits
from pps_torch.specs import EvalSpec


def use_fused_merge(
    model: nn.Module, *, spec: EvalSpec | None = None, paste_masks: bool = True
) -> nn.Module:
    """Replace the merge of a built panoptic model; its weights, training and outputs stay.

    Args:
        model: one of these, or one inside `DistributedDataParallel`. Its thresholds are read once,
            by this call.

            - a `PanopticFPN`, which then merges with `FusedMerge`;
            - Mask2Former, MaskFormer or TAPPS: a model that merges its queries in a method
              `panoptic_inference`, by Mask2Former's rule, which this call tries out; it then
              merges with [`QueryPanopticMerger`][pps_torch.QueryPanopticMerger];
            - Detectron2's `PanopticDeepLab`, which then merges with
              [`CenterPanopticMerger`][pps_torch.CenterPanopticMerger].
        spec: for a `PanopticFPN`: the outputs also hold `pps`, in which all parts are unknown.
        paste_masks: for a `PanopticFPN`, see `FusedMerge`.

    Returns:
        the same model.

    Raises:
        TypeError: the model is none of these, or merges in a way of its own; says what to do.
        ValueError: the model does not have the things of the spec, or is no `PanopticFPN`.

    Example:
        ```python
        model = use_fused_merge(build_model(cfg))
        ```
    """
    inner: Any = model.module if isinstance(model, DistributedDataParallel) else model
    if isinstance(inner, PanopticFPN):
        _fuse_boxes(inner, spec, paste_masks)
        return model
    if spec is not None or not paste_masks:
        name = type(inner).__name__
        raise ValueError(f"spec, paste_masks: expected a PanopticFPN with these, found a {name}")
    if merges_centers(inner):
        fuse_centers(inner)
    elif merges_queries(inner):
        fuse_queries(inner)
    else:
        raise TypeError(
            "model: expected a PanopticFPN, a model with the panoptic_inference of Mask2Former "
            f"(MaskFormer and TAPPS have it too), or a PanopticDeepLab, found "
            f"{type(inner).__name__}; merge_panoptic_boxes, merge_panoptic_queries and "
            "merge_panoptic_centers merge the heads of any model"
        )
    return model


def _fuse_boxes(model: PanopticFPN, spec: EvalSpec | None, paste_masks: bool) -> None:
    if type(model).inference is not PanopticFPN.inference:
        name = type(model).__name__
        raise TypeError(
            f"model: expected the inference of PanopticFPN, {name} has its own; "
            "merge_panoptic_boxes merges masks in boxes by hand"
        )
    if spec is not None:
        check_num_things(model.roi_heads.num_classes, spec)
    model.fused_merge = FusedMerge(
        spec,
        overlap_threshold=model.combine_overlap_thresh,
        stuff_area_limit=model.combine_stuff_area_thresh,
        score_threshold=model.combine_instances_score_thresh,
        paste_masks=paste_masks,
    ).to(model.device)
    model.inference = MethodType(_fused_inference, model)


def _fused_inference(
    model: PanopticFPN, batched_inputs: list[dict[str, Any]], do_postprocess: bool = True
) -> Any:
    """Run `PanopticFPN.inference` with the fused merge in place of its own."""
    detections, sem_seg = PanopticFPN.inference(model, batched_inputs, do_postprocess=False)
    if not do_postprocess:
        return detections, sem_seg
    return [
        model.fused_merge(detected, resize_logits(logits, detected.image_size, inputs))
        for detected, logits, inputs in zip(detections, sem_seg, batched_inputs)
    ]

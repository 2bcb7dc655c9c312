"""Panoptic FPN with a part segmentation head: one network for panoptic and part-aware outputs."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, PanopticFPN
from detectron2.structures import ImageList
from torch import Tensor, nn

from pps_torch.integrations.detectron2.class_ids import (
    check_ignore_value,
    check_num_labels,
    check_num_things,
)
from pps_torch.integrations.detectron2.config import load_eval_spec
from pps_torch.integrations.detectron2.modeling.fused_merge import FusedMerge
from pps_torch.integrations.detectron2.modeling.output_size import best_parts, resize_logits
from pps_torch.integrations.detectron2.modeling.part_head import build_part_head
from pps_torch.specs import EvalSpec


@META_ARCH_REGISTRY.register()
class PartAwarePanopticFPN(PanopticFPN):
    """Detectron2's `PanopticFPN` with a second semantic head, over the flat part ids of a spec.

    In training, an input holds `image`, `instances`, `sem_seg` and `part_seg` `(H, W)` int64: flat
    part ids, 0 for the background, the head's ignore value where the part is not known. The losses
    are those of `PanopticFPN` and `loss_part_seg`.

    In inference, the output of an image is that of `PanopticFPN` and `pps` `(3, H, W)` int32:
    evaluation sid, instance, part, merged by [`merge_pps`][pps_torch.merge_pps].

    Args:
        part_head: a module that is called as Detectron2's semantic heads are: it takes features
            and targets, and returns logits and losses.
        eval_spec: what the classes and part ids mean.
        paste_masks: see `FusedMerge`.
        **panoptic_fpn_options: the other arguments of `PanopticFPN`.

    Raises:
        ValueError: the detector does not have the things of the spec.

    Example:
        ```python
        cfg = get_cfg()
        add_pps_config(cfg)
        path = "configs/Cityscapes-PanopticParts/part_aware_panoptic_fpn_R_50.yaml"
        cfg.merge_from_file(path)
        model = build_model(cfg).eval()
        outputs = model([{"image": image}])  # image (3, H, W), BGR, 0..255
        outputs[0]["pps"]  # (3, H, W)
        ```
    """

    @configurable
    def __init__(
        self,
        *,
        part_head: nn.Module,
        eval_spec: EvalSpec,
        paste_masks: bool = True,
        **panoptic_fpn_options: Any,
    ) -> None:
        super().__init__(**panoptic_fpn_options)
        check_num_things(self.roi_heads.num_classes, eval_spec)
        self.part_head: Any = part_head
        self.fused_merge = FusedMerge(
            eval_spec,
            overlap_threshold=self.combine_overlap_thresh,
            stuff_area_limit=self.combine_stuff_area_thresh,
            score_threshold=self.combine_instances_score_thresh,
            paste_masks=paste_masks,
        )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the constructor's arguments from a configuration."""
        options = super().from_config(cfg)
        options["part_head"] = build_part_head(cfg, options["backbone"].output_shape())
        options["eval_spec"] = spec = load_eval_spec(cfg)
        check_num_labels(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, spec)
        check_ignore_value(cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE, spec)
        options["paste_masks"] = cfg.MODEL.PPS.PASTE_MASKS
        return options

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return the losses in training, a list of outputs in inference; see the class."""
        if not self.training:
            return self.inference(batched_inputs)
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images.tensor)
        instances = [inputs["instances"].to(self.device) for inputs in batched_inputs]
        sem_seg = self._label_maps(batched_inputs, "sem_seg", self.sem_seg_head.ignore_value)
        part_seg = self._label_maps(batched_inputs, "part_seg", self.part_head.ignore_value)

        _, sem_seg_losses = self.sem_seg_head(features, sem_seg)
        _, part_seg_losses = self.part_head(features, part_seg)
        proposals, proposal_losses = self.proposal_generator(images, features, instances)
        _, detector_losses = self.roi_heads(images, features, proposals, instances)
        return {**sem_seg_losses, **part_seg_losses, **proposal_losses, **detector_losses}

    def inference(self, batched_inputs: list[dict[str, Any]], do_postprocess: bool = True) -> Any:
        """Run the network, and merge its heads if `do_postprocess` is true.

        Returns:
            a list with the output of each image; without post-processing, the detections, the
            semantic logits and the part logits of the batch.
        """
        images = self.preprocess_image(batched_inputs)
        features = self.backbone(images.tensor)
        sem_seg, _ = self.sem_seg_head(features, None)
        part_seg, _ = self.part_head(features, None)
        proposals, _ = self.proposal_generator(images, features, None)
        detections, _ = self.roi_heads(images, features, proposals, None)
        if not do_postprocess:
            return detections, sem_seg, part_seg
        return [
            self.fused_merge(
                detected,
                resize_logits(sem_seg_logits, detected.image_size, inputs),
                best_parts(part_logits, detected.image_size, inputs),
            )
            for detected, sem_seg_logits, part_logits, inputs in zip(
                detections, sem_seg, part_seg, batched_inputs
            )
        ]

    def _label_maps(
        self, batched_inputs: list[dict[str, Any]], key: str, ignore_value: int
    ) -> Tensor:
        """Stack the label maps of all images to `(B, H, W)`, padded as the images are."""
        maps = [inputs[key].to(self.device) for inputs in batched_inputs]
        padding = self.backbone.size_divisibility, ignore_value, self.backbone.padding_constraints
        return ImageList.from_tensors(maps, *padding).tensor

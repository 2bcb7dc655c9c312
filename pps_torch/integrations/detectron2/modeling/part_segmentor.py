"""A network that segments parts and nothing else, as in the paper's baselines."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor, build_backbone

from pps_torch.integrations.detectron2.modeling.part_head import build_part_head


@META_ARCH_REGISTRY.register()
class PartSegmentor(SemanticSegmentor):
    """Detectron2's `SemanticSegmentor` with a part head, trained on `part_seg`.

    In training, an input holds `image` and `part_seg` `(H, W)` int64. In inference, the output of
    an image holds `part_seg` `(P, H, W)`: logits of the background and the flat part ids.

    Example:
        ```python
        cfg.merge_from_file("configs/Cityscapes-PanopticParts/part_fpn_R_50.yaml")
        logits = build_model(cfg).eval()([{"image": image}])[0]["part_seg"]
        ```
    """

    @configurable
    def __init__(self, **segmentor_options: Any) -> None:
        super().__init__(**segmentor_options)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the constructor's arguments from a configuration."""
        backbone = build_backbone(cfg)
        return {
            "backbone": backbone,
            "sem_seg_head": build_part_head(cfg, backbone.output_shape()),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
        }

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return the losses in training, a list of outputs in inference; see the class."""
        results = super().forward([_with_parts_as_labels(inputs) for inputs in batched_inputs])
        if self.training:
            return results
        return [{"part_seg": output["sem_seg"]} for output in results]


def _with_parts_as_labels(inputs: dict[str, Any]) -> dict[str, Any]:
    """Copy the inputs of an image, with `part_seg` in place of `sem_seg`."""
    inputs = {key: value for key, value in inputs.items() if key != "sem_seg"}
    if "part_seg" in inputs:
        inputs["sem_seg"] = inputs["part_seg"]
    return inputs

"""The part segmentation head: a second semantic head, over the flat part ids."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.semantic_seg import SEM_SEG_HEADS_REGISTRY, SemSegFPNHead
from torch import Tensor, nn
from torch.nn import functional as F

from pps_torch.specs import EvalSpec


@SEM_SEG_HEADS_REGISTRY.register()
class PartSegFPNHead(SemSegFPNHead):
    """Detectron2's `SemSegFPNHead` with one channel for the background and each flat part id.

    Channel 0 is the background: pixels of classes without parts. Pixels that the labels do not
    tell (void, undefined parts) have the ignore value and no loss.

    Args:
        input_shape: feature name -> shape.
        background_weight: weight of background pixels in the loss; 0 leaves them out.
        ignore_value: label of pixels without a loss.
        **head_options: as of `SemSegFPNHead`.

    Example:
        .. code-block:: python

            cfg.MODEL.PPS.PART_HEAD.NAME = "PartSegFPNHead"    # the default
            part_head = build_part_head(cfg, backbone.output_shape())
    """

    @configurable
    def __init__(
        self,
        input_shape: dict[str, ShapeSpec],
        *,
        background_weight: float = 1.0,
        ignore_value: int = 255,
        **head_options: Any,
    ) -> None:
        super().__init__(input_shape, ignore_value=ignore_value, **head_options)
        if background_weight < 0:
            raise ValueError(f"background_weight: expected 0 or more, got {background_weight}")
        self.background_weight = background_weight

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """The arguments of the constructor, from `MODEL.PPS.PART_HEAD` and the spec."""
        options, spec = cfg.MODEL.PPS.PART_HEAD, EvalSpec.load(cfg.MODEL.PPS.EVAL_SPEC)
        return {
            "input_shape": {name: input_shape[name] for name in options.IN_FEATURES},
            "num_classes": num_part_classes(spec),
            "conv_dims": options.CONVS_DIM,
            "common_stride": options.COMMON_STRIDE,
            "norm": options.NORM,
            "loss_weight": options.LOSS_WEIGHT,
            "background_weight": options.BACKGROUND_WEIGHT,
            "ignore_value": spec.ignore_label,
        }

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy at the labels' stride.

        Args:
            predictions: `(B, P, h, w)` logits; targets: `(B, H, W)` int64 flat part ids.

        Returns:
            `{"loss_part_seg": ...}`; 0 where every pixel is ignored.
        """
        logits = F.interpolate(
            predictions.float(),
            scale_factor=self.common_stride,
            mode="bilinear",
            align_corners=False,
        )
        loss = part_seg_loss(logits, targets, self.background_weight, self.ignore_value)
        return {"loss_part_seg": loss * self.loss_weight}


def part_seg_loss(
    logits: Tensor, targets: Tensor, background_weight: float, ignore_value: int
) -> Tensor:
    """Mean cross entropy over pixels, the background weighted, 0 where all are ignored.

    Args:
        logits: `(B, P, H, W)`; targets: `(B, H, W)` int64, 0 is the background.

    Example:
        >>> import torch
        >>> part_seg_loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[1, 255]]]), 1.0, 255)
        tensor(0.6931)
    """
    weights = logits.new_ones(logits.shape[1])
    weights[0] = background_weight
    total = F.cross_entropy(logits, targets, weights, reduction="sum", ignore_index=ignore_value)
    is_background = (targets == 0).sum()
    is_part = (targets != ignore_value).sum() - is_background
    pixels = is_part + background_weight * is_background
    return total / torch.where(pixels > 0, pixels, 1)


def num_part_classes(spec: EvalSpec) -> int:
    """Channels of a part head: the background and the flat part ids up to the highest one."""
    return spec.num_parts_flat + 1


def build_part_head(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """The head that `cfg.MODEL.PPS.PART_HEAD.NAME` names, from the registry SEM_SEG_HEADS."""
    return SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.PPS.PART_HEAD.NAME)(cfg, input_shape)

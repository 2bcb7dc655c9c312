"""The part segmentation head: a second semantic head, over the flat part ids."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.meta_arch.semantic_seg import SEM_SEG_HEADS_REGISTRY, SemSegFPNHead
from torch import Tensor, nn
from torch.nn import functional as F

from pps_torch.integrations.detectron2.config import load_eval_spec
from pps_torch.specs import EvalSpec


@SEM_SEG_HEADS_REGISTRY.register()
class PartSegFPNHead(SemSegFPNHead):
    """Detectron2's `SemSegFPNHead` over the background and the flat part ids.

    Channel 0 is the background: pixels of classes without parts. Pixels whose part is not known
    (void, undefined parts) are labelled with the ignore value and have no loss.

    Args:
        input_shape: the shape of each feature map, by name.
        background_weight: weight of background pixels in the loss; 0 leaves them out.
        ignore_value: label of the pixels that have no loss.
        **head_options: the other arguments of `SemSegFPNHead`.

    Raises:
        ValueError: the weight is negative.

    Example:
        ```python
        cfg.MODEL.PPS.PART_HEAD.NAME = "PartSegFPNHead"  # the default
        part_head = build_part_head(cfg, backbone.output_shape())
        ```
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
            raise ValueError(f"background_weight: expected 0 or more, found {background_weight}")
        self.background_weight = background_weight

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> dict[str, Any]:
        """Read the constructor's arguments from `MODEL.PPS.PART_HEAD` and the spec."""
        options, spec = cfg.MODEL.PPS.PART_HEAD, load_eval_spec(cfg)
        _check_options(options, input_shape)
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
        """Compute the cross entropy at the resolution of the targets.

        Args:
            predictions: `(B, P, h, w)` logits.
            targets: `(B, H, W)` int64 flat part ids.

        Returns:
            `{"loss_part_seg": loss}`; the loss is 0 if every pixel is ignored.
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
    """Mean cross entropy over the pixels, with a weight for the background.

    Args:
        logits: `(B, P, H, W)`.
        targets: `(B, H, W)` int64; 0 is the background.
        background_weight: weight of background pixels; those of parts have weight 1.
        ignore_value: label of the pixels that have no loss.

    Returns:
        a scalar; 0 if no pixel has a weight.

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
    """Number of channels of a part head: the background, and each flat part id to the highest."""
    return spec.highest_flat_pid + 1


def build_part_head(cfg: CfgNode, input_shape: dict[str, ShapeSpec]) -> nn.Module:
    """Build the head that `MODEL.PPS.PART_HEAD.NAME` names in Detectron2's SEM_SEG_HEADS."""
    return SEM_SEG_HEADS_REGISTRY.get(cfg.MODEL.PPS.PART_HEAD.NAME)(cfg, input_shape)


def _check_options(options: CfgNode, input_shape: dict[str, ShapeSpec]) -> None:
    """Raise ValueError for features that the backbone does not have, or a negative weight."""
    unknown = [name for name in options.IN_FEATURES if name not in input_shape]
    if unknown:
        raise ValueError(
            f"MODEL.PPS.PART_HEAD.IN_FEATURES: expected feature maps of the backbone, "
            f"{sorted(input_shape)}, found {unknown}"
        )
    if options.BACKGROUND_WEIGHT < 0:
        raise ValueError(
            "MODEL.PPS.PART_HEAD.BACKGROUND_WEIGHT: expected 0 or more, found "
            f"{options.BACKGROUND_WEIGHT}"
        )

"""Logits of the network's padded input, brought to the size that the output of an image has."""

from __future__ import annotations

from typing import Any

from detectron2.modeling.postprocessing import sem_seg_postprocess
from torch import Tensor

from pps_torch.ops.painting.upsampled_ids import upsampled_argmax


def output_size(image_size: tuple[int, int], inputs: dict[str, Any]) -> tuple[int, int]:
    """`(height, width)` that an input asks for; by default the size of the network's input."""
    return inputs.get("height", image_size[0]), inputs.get("width", image_size[1])


def resize_logits(logits: Tensor, image_size: tuple[int, int], inputs: dict[str, Any]) -> Tensor:
    """Crop the padding off logits and resize them, as Detectron2 does.

    Args:
        logits: `(C, h, w)`, of a padded image.
        image_size: `(height, width)` of the image without padding, at most `(h, w)`.
        inputs: the input of the image; `height` and `width` are the size of its output.

    Returns:
        `(C, height, width)`.
    """
    return sem_seg_postprocess(logits, image_size, *output_size(image_size, inputs))


def best_parts(logits: Tensor, image_size: tuple[int, int], inputs: dict[str, Any]) -> Tensor:
    """Find the best part of each pixel: the argmax of `resize_logits`, without holding them.

    Args:
        logits: `(P, h, w)`, of a padded image; channel i is the flat part id i.
        image_size, inputs: as in `resize_logits`.

    Returns:
        `(height, width)` int64: flat part ids.
    """
    height, width = image_size
    logits = logits[None, :, :height, :width]
    return upsampled_argmax(logits, output_size(image_size, inputs))[0]

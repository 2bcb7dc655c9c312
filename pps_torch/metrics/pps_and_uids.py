"""The inputs of the metrics of parts: PPS maps, and the uids of the ground truth."""

from __future__ import annotations

import math

from torch import Tensor

from pps_torch.checks import check_device, check_integer, check_ndim, check_shape


def check_pps_and_uids(pred: Tensor, target: Tensor, reference: Tensor) -> None:
    """Raise TypeError or ValueError unless both are integers of one batch and size.

    Args:
        pred: `(*B, 3, H, W)` PPS maps.
        target: `(*B, H, W)` uids.
        reference: a tensor on the device where both have to be.
    """
    check_integer("pred", pred)
    check_integer("target", target)
    check_ndim("target", target, 2, "(*B, H, W)")
    *batch, height, width = target.shape
    check_shape("pred", pred, (*batch, 3, height, width))
    check_device("pred", pred, reference)
    check_device("target", target, reference)


def flat_uids_and_pps(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The uids `(B, H * W)` and the PPS maps `(B, 3, H * W)`, the ground truth first."""
    *batch, height, width = target.shape
    num_images, num_pixels = math.prod(batch), height * width
    return target.reshape(num_images, num_pixels), pred.reshape(num_images, 3, num_pixels)

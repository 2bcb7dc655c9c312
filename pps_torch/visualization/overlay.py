"""Overlays: coloured maps blended into their photos."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.checks import check_bool, check_device, check_fraction, check_picture


def overlay(photo: Tensor, colored: Tensor, void: Tensor, alpha: float = 0.5) -> Tensor:
    """Blend a coloured map into its photo; where the map is void, the photo stays as it is.

    Args:
        photo: `(*B, 3, H, W)` uint8.
        colored: `(*B, 3, H, W)` uint8, from `colorize_pps` or `colorize_panoptic`.
        void: `(*B, H, W)` bool.
        alpha: weight of the colours, 0 (only the photo) to 1.

    Returns:
        `(*B, 3, H, W)` uint8.

    Raises:
        TypeError: photo and map are not uint8, or void is not bool.
        ValueError: they differ in size or device, or alpha is outside 0..1.
    """
    check_picture("photo", photo)
    check_picture("colored", colored)
    check_bool("void", void)
    check_device("photo", photo, colored)
    check_device("void", void, colored)
    if photo.shape[-2:] != colored.shape[-2:]:
        raise ValueError(
            f"photo: expected the size of the coloured map, {_size(colored)}, found {_size(photo)}"
        )
    if void.shape[-2:] != colored.shape[-2:]:
        raise ValueError(
            f"void: expected the size of the coloured map, {_size(colored)}, found {_size(void)}"
        )
    check_fraction("alpha", alpha)
    blend = torch.lerp(photo.float(), colored.float(), alpha).round_().to(torch.uint8)
    return torch.where(void.unsqueeze(-3), photo, blend)


def _size(image: Tensor) -> str:
    height, width = image.shape[-2:]
    return f"{height} x {width}"

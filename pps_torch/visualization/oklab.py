"""sRGB and OKLab: the colour space in which equal steps look equally large.

Source: Björn Ottosson, "A perceptual color space for image processing", 2020.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from pps_torch.graph_capture import can_keep_tensors

Color = tuple[int, int, int]  # sRGB, each 0..255

_LMS_FROM_RGB = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_OKLAB_FROM_LMS = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
_CHROMA_STEPS = 12  # halvings: the chroma that a screen can show is found to 1 / 4096


def rgb_to_oklab(rgb: Tensor) -> Tensor:
    """Turn `(..., 3)` uint8 sRGB into OKLab: lightness 0..1, green to red, blue to yellow."""
    lms = rgb_to_linear(rgb) @ _matrix(_LMS_FROM_RGB, rgb.device).T
    return lms.pow(1 / 3) @ _matrix(_OKLAB_FROM_LMS, rgb.device).T


def oklab_to_rgb(lab: Tensor) -> Tensor:
    """Turn `(..., 3)` float64 OKLab into uint8 sRGB, after `limit_chroma`."""
    return linear_to_rgb(_oklab_to_linear(limit_chroma(lab)))


def limit_chroma(lab: Tensor) -> Tensor:
    """Take chroma from colours that no screen can show, until one can; lightness and hue stay."""
    shown = torch.zeros_like(lab[..., :1])
    for step in range(_CHROMA_STEPS + 1):
        more = (shown + 0.5**step).clamp(max=1)
        shown = torch.where(_is_shown(scale_chroma(lab, more)), more, shown)
    return scale_chroma(lab, shown)


def scale_chroma(lab: Tensor, factor: Tensor) -> Tensor:
    """Multiply the chroma of colours `(..., 3)` by `factor` `(..., 1)`."""
    return torch.cat([lab[..., :1], lab[..., 1:] * factor], dim=-1)


def rgb_to_linear(rgb: Tensor) -> Tensor:
    """Turn uint8 sRGB into float64 intensities 0..1."""
    value = rgb.double() / 255
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def linear_to_rgb(linear: Tensor) -> Tensor:
    """Turn intensities into uint8 sRGB; those outside 0..1 become 0 or 1."""
    linear = linear.clamp(0, 1)
    value = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (value * 255).round().to(torch.uint8)


def polar(lab: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return lightness, chroma and hue (radians) of OKLab colours."""
    lightness, a, b = lab.unbind(-1)
    return lightness, torch.hypot(a, b), torch.atan2(b, a)


def cartesian(lightness: Tensor, chroma: Tensor, hue: Tensor) -> Tensor:
    """Make OKLab colours of lightness, chroma and hue, which are broadcast: undoes `polar`."""
    return torch.stack(
        torch.broadcast_tensors(lightness, chroma * hue.cos(), chroma * hue.sin()), dim=-1
    )


def _oklab_to_linear(lab: Tensor) -> Tensor:
    lms = lab @ _inverse(_OKLAB_FROM_LMS, lab.device).T
    linear: Tensor = lms**3 @ _inverse(_LMS_FROM_RGB, lab.device).T
    return linear


def _is_shown(lab: Tensor) -> Tensor:
    linear = _oklab_to_linear(lab)
    return ((linear > -1e-6) & (linear < 1 + 1e-6)).all(-1, keepdim=True)


_Rows = tuple[tuple[float, ...], ...]


def _inverse(rows: _Rows, device: torch.device) -> Tensor:
    """The inverse of a matrix, computed once for a device."""
    return (_kept_inverse if can_keep_tensors() else _computed_inverse)(rows, device)


def _computed_inverse(rows: _Rows, device: torch.device) -> Tensor:
    inverse: Tensor = torch.linalg.inv(_matrix(rows, device))
    return inverse


_kept_inverse = lru_cache(maxsize=16)(torch.inference_mode(False)(_computed_inverse))


def _matrix(rows: _Rows, device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64, device=device)

"""Colours of classes, instances and parts: the same ones every time.

Shades and tints are computed in OKLab, where equal steps look equally large.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.specs import EvalSpec

VOID_COLOR = (0, 0, 0)
BOUNDARY_COLOR = (255, 255, 255)
NUM_SHADES = 64  # instance numbers n and n + 64 of a class share a shade

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


class Paints(NamedTuple):
    """The colours of an evaluation spec: one paint for void, for each class and for each part.

    Attributes:
        paint_of_sid_pid: ``(R, K)`` int32, the paint of a scene class and part, -1 where the spec
            has no such pair. Paint 0 is void.
        colors: ``(num_paints, NUM_SHADES, 3)`` uint8, column 0 is the colour itself.
        members: (eval sid, eval pid) of each paint from 1 on, class by class; pid 0 is the class.
    """

    paint_of_sid_pid: Tensor
    colors: Tensor
    members: tuple[tuple[int, int], ...]


@lru_cache(maxsize=16)
def spec_paints(spec: EvalSpec, device: torch.device) -> Paints:
    """The paints of ``spec`` on ``device``, computed once."""
    members, colors, is_thing = [], [VOID_COLOR], [False]
    for sid in spec.eval_sids:
        pids = spec.part_pids.get(sid, ())
        members += [(sid, pid) for pid in (0, *pids)]
        colors += [spec.colors[sid], *part_colors(spec.colors[sid], len(pids))]
        is_thing += [sid in spec.things] * (1 + len(pids))

    rows, columns = (max(spec.ignore_label, *ids) + 1 for ids in zip(*members, strict=True))
    paint_of_sid_pid = torch.full((rows, columns), -1, dtype=torch.int32)
    for paint, (sid, pid) in enumerate(members, start=1):
        paint_of_sid_pid[sid, pid] = paint
    for sid in spec.eval_sids:
        paint_of_sid_pid[sid, spec.ignore_label] = paint_of_sid_pid[sid, 0]
        if sid not in spec.part_pids:
            paint_of_sid_pid[sid, 1] = paint_of_sid_pid[sid, 0]
    paint_of_sid_pid[spec.ignore_label] = 0

    shade_index = torch.arange(NUM_SHADES) * torch.tensor(is_thing).unsqueeze(1)
    shades = shade(torch.tensor(colors, dtype=torch.uint8).unsqueeze(1), shade_index)
    return Paints(paint_of_sid_pid.to(device), shades.to(device), tuple(members))


def category_colors(categories: list[dict]) -> list[tuple[int, int, int]]:
    """The colour of each COCO category: its ``color``, or else the default of its place."""
    return [tuple(c.get("color") or default_color(place)) for place, c in enumerate(categories)]


def default_color(index: int) -> tuple[int, int, int]:
    """One of endlessly many colours; neighbours differ in hue, lightness and chroma."""
    golden_angle = 2.399963229728653
    hue = torch.tensor(index * golden_angle, dtype=torch.float64)
    lightness = (0.62, 0.78, 0.5)[index % 3]
    chroma = (0.16, 0.11)[index // 3 % 2]
    lab = torch.stack([torch.full_like(hue, lightness), chroma * hue.cos(), chroma * hue.sin()])
    return tuple(oklab_to_rgb(lab).tolist())


def shade(colors: Tensor, index: Tensor) -> Tensor:
    """Shades of colours: lighter or darker, hue a little turned; shade 0 is the colour itself.

    Args:
        colors: ``(..., 3)`` uint8.
        index: ``(...)`` integers >= 0, broadcast against the colours.

    Returns:
        ``(..., 3)`` uint8. Neighbouring indices are far apart in lightness.
    """
    lightness, chroma, hue = _polar(rgb_to_oklab(colors))
    # Steps of the plastic number fill the (lightness, hue) square evenly, whatever the count.
    up = (index * 0.7548776662466927 + 0.5) % 1 - 0.5
    turn = (index * 0.5698402909980532 + 0.5) % 1 - 0.5
    lab = _cartesian(lightness.clamp(0.38, 0.8) + 0.26 * up, chroma, hue + 0.7 * turn)
    return torch.where((index == 0).unsqueeze(-1), colors, oklab_to_rgb(lab))


def part_colors(class_color: tuple[int, int, int], num_parts: int) -> list[tuple[int, int, int]]:
    """Colours of the parts of a class, in the order of the parts.

    They go from a light tint to near the class colour, the hue swings to both sides of its own.
    """
    lab = rgb_to_oklab(torch.tensor(class_color, dtype=torch.uint8))
    lightness, chroma, hue = _polar(lab)
    place = torch.arange(num_parts) / max(num_parts - 1, 1)
    lightness = lightness.clamp(0.36, 0.55) + 0.28 - 0.2 * place
    hue = hue + 1.2 * torch.sin(2 * torch.pi * place**0.8)
    lab = _cartesian(lightness, chroma.clamp(0.07, 0.17).expand_as(hue), hue)
    return [tuple(color) for color in oklab_to_rgb(lab).tolist()]


def rgb_to_oklab(rgb: Tensor) -> Tensor:
    """``(..., 3)`` uint8 sRGB to float64 lightness 0..1, green to red, blue to yellow."""
    value = rgb.double() / 255
    linear = torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    lms = linear @ value.new_tensor(_LMS_FROM_RGB).T
    return lms.pow(1 / 3) @ value.new_tensor(_OKLAB_FROM_LMS).T


def oklab_to_rgb(lab: Tensor) -> Tensor:
    """``(..., 3)`` float64 OKLab to uint8 sRGB; what no screen can show becomes a near colour."""
    lms = (lab @ torch.linalg.inv(lab.new_tensor(_OKLAB_FROM_LMS)).T) ** 3
    linear = (lms @ torch.linalg.inv(lab.new_tensor(_LMS_FROM_RGB)).T).clamp(0, 1)
    value = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (value * 255).round().to(torch.uint8)


def _polar(lab: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    lightness, a, b = lab.unbind(-1)
    return lightness, torch.hypot(a, b), torch.atan2(b, a)


def _cartesian(lightness: Tensor, chroma: Tensor, hue: Tensor) -> Tensor:
    return torch.stack(
        torch.broadcast_tensors(lightness, chroma * hue.cos(), chroma * hue.sin()), dim=-1
    )

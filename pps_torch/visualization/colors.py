"""Colours of classes, instances and parts: the same ones every time.

A class has its colour, its instances have shades of it, its parts have tints around it, which are
shaded like the class. All is computed in OKLab, where equal steps look equally large.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import compress, islice
from operator import not_
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pps_torch.reserved import ABSENT, NO_PART, UNDEFINED_PART
from pps_torch.specs import EvalSpec, check_eval_spec
from pps_torch.visualization.colorblind import colorblind_colors
from pps_torch.visualization.oklab import (
    Color,
    cartesian,
    limit_chroma,
    oklab_to_rgb,
    polar,
    rgb_to_oklab,
    scale_chroma,
)

PALETTES = ("class", "colorblind")
VOID_COLOR = (0, 0, 0)

NUM_LEVELS = 5  # of lightness; shades of different levels are clearly different
_NUM_VARIANTS = 13  # of each level, in hue and chroma
NUM_SHADES = NUM_LEVELS * _NUM_VARIANTS
_LEVEL_STEP = 0.1
_DARKEST, _LIGHTEST = 0.25, 0.92
_CHROMA_RANGE, _HUE_RANGE = 0.45, 0.6  # of variants: a fraction of the chroma, radians
_LEAST_CHROMA = 0.05  # of the variants of grey
_GOLDEN_ANGLE = 2.399963229728653
_GOLDEN_RATIO = 0.6180339887498949

# Dichromats tell parts apart by lightness.
_PART_LIGHTNESS_RANGE = {"class": 0.18, "colorblind": 0.26}


class Paints(NamedTuple):
    """The colours of an evaluation spec: one paint for void, for each class and for each part.

    Attributes:
        row_of_sid: `(highest + 1,)` int32, the row of `paint_of` of each scene class and of void;
            -1 of ids that the spec lacks.
        column_of_pid: `(highest + 1,)` int32, the column of each part; the last one of other ids.
        paint_of: `(R, K)` int32, the paint of a scene class and part, -1 where the spec has no
            such pair. Paint 0 is void, whose part may be any up to the highest.
        colors: `(num_paints, NUM_SHADES, 3)` uint8, column 0 is the colour itself.
        members: (eval sid, eval pid) of each paint from 1 on, class by class; the class itself
            has the pid of undefined parts, 0.
    """

    row_of_sid: Tensor
    column_of_pid: Tensor
    paint_of: Tensor
    colors: Tensor
    members: tuple[tuple[int, int], ...]

    def paint_of_pair(self, sid: int, pid: int) -> int:
        """The paint of a part of a scene class that has a row; -1 where it has no such part."""
        if not 0 <= pid < len(self.column_of_pid):
            return ABSENT
        return int(self.paint_of[self.row_of_sid[sid], self.column_of_pid[pid]])


def spec_paints(spec: EvalSpec, device: torch.device, palette: str = "class") -> Paints:
    """Return the paints of `spec` on `device`, computed once."""
    check_eval_spec("spec", spec)
    return _spec_paints(spec, device, palette)


@lru_cache(maxsize=16)
def _spec_paints(spec: EvalSpec, device: torch.device, palette: str) -> Paints:
    things = set(spec.things)
    is_thing_class = [sid in things for sid in spec.eval_sids]
    class_colors = palette_colors(list(spec.colors.values()), is_thing_class, palette)
    part_pids = spec.part_pids
    num_parts = [len(part_pids.get(sid, ())) for sid in spec.eval_sids]
    parts = part_colors(class_colors, num_parts, _PART_LIGHTNESS_RANGE[palette])
    members, colors, is_thing = [], [VOID_COLOR], [False]
    for sid, class_color, tints in zip(spec.eval_sids, class_colors, parts, strict=True):
        members += [(sid, pid) for pid in (UNDEFINED_PART, *part_pids.get(sid, ()))]
        colors += [class_color, *tints]
        is_thing += [sid in things] * (1 + len(tints))

    sids, pids = ({spec.ignore_label, *ids} for ids in zip(*members, strict=True))
    pids.add(NO_PART)
    row_of_sid, column_of_pid = _places(sids, others=ABSENT), _places(pids, others=len(pids))
    paint_of = torch.full((len(sids), len(pids) + 1), ABSENT, dtype=torch.int32, device="cpu")
    for paint, (sid, pid) in enumerate(members, start=1):
        paint_of[row_of_sid[sid], column_of_pid[pid]] = paint
    for sid in spec.eval_sids:
        row = paint_of[int(row_of_sid[sid])]
        class_paint = row[column_of_pid[UNDEFINED_PART]]
        row[column_of_pid[spec.ignore_label]] = class_paint
        if sid not in part_pids:
            row[column_of_pid[NO_PART]] = class_paint
    paint_of[row_of_sid[spec.ignore_label]] = 0

    shade_index = torch.arange(NUM_SHADES, device="cpu") * torch.tensor(
        is_thing, device="cpu"
    ).unsqueeze(1)
    shades = shade(torch.tensor(colors, dtype=torch.uint8, device="cpu").unsqueeze(1), shade_index)
    return Paints(
        row_of_sid.to(device),
        column_of_pid.to(device),
        paint_of.to(device),
        shades.to(device),
        tuple(members),
    )


def _places(ids: Collection[int], others: int) -> Tensor:
    """The place of each id among the sorted ones, `(highest + 1,)` int32, and that of others."""
    places = torch.full((max(ids) + 1,), others, dtype=torch.int32, device="cpu")
    places[sorted(ids)] = torch.arange(len(ids), dtype=torch.int32, device="cpu")
    return places


def category_colors(categories: list[dict[str, Any]], palette: str = "class") -> list[Color]:
    """Return the colour of each COCO category, a dict with `isthing`, in a palette.

    In `"class"` that is its `color`, or the default for its place in the list if it has none.
    """
    defaults = default_colors(len(categories))
    own = [tuple(c.get("color") or default) for c, default in zip(categories, defaults)]
    return palette_colors(own, [bool(c["isthing"]) for c in categories], palette)


def palette_colors(own: Sequence[Color], is_thing: Sequence[bool], palette: str) -> list[Color]:
    """Return the colours of classes in a palette: their own, or colour-blind-safe ones.

    The first colours of `colorblind_colors` differ most, so things get them, and stuff the rest.
    Class by class, each takes the one nearest to its own that is left.

    Raises:
        ValueError: for a palette that is not one of `PALETTES`.
    """
    if palette not in PALETTES:
        raise ValueError(f"palette: expected one of {PALETTES}, found {palette!r}")
    if palette == "class":
        return list(own)
    safe = colorblind_colors(len(own))
    num_things = sum(map(bool, is_thing))
    thing_colors = _nearest_first(compress(own, is_thing), safe[:num_things])
    stuff_colors = _nearest_first(compress(own, map(not_, is_thing)), safe[num_things:])
    return [next(thing_colors if thing else stuff_colors) for thing in is_thing]


def _nearest_first(own: Iterable[Color], colors: Sequence[Color]) -> Iterator[Color]:
    """Give each colour of `own`, in turn, the nearest of as many `colors` that is left."""
    own_labs, labs = (
        rgb_to_oklab(torch.tensor([*some], dtype=torch.uint8, device="cpu").view(-1, 3)).numpy()
        for some in (own, colors)
    )
    # |a - b|^2 = |a|^2 + |b|^2 - 2 ab, of which the first is the same for all that are left.
    squares = (labs**2).sum(-1)
    for lab in -2 * own_labs:
        nearest = int((labs @ lab + squares).argmin())
        squares[nearest] = np.inf
        yield colors[nearest]


@lru_cache(maxsize=16)
def default_colors(count: int) -> tuple[Color, ...]:
    """Make `count` colours; a longer list begins with the shorter ones.

    Neighbours differ in hue, lightness and chroma. The first 144 colours are 0.011 apart in OKLab,
    where 0.02 is just visible; then the lightness changes a little, so that 1,000 are still 0.008
    apart and 2,000 no two the same.
    """
    index = torch.arange(count, device="cpu")
    lightness = torch.tensor([0.62, 0.78, 0.5], dtype=torch.float64, device="cpu")[index % 3]
    chroma = torch.tensor([0.16, 0.11], dtype=torch.float64, device="cpu")[index // 3 % 2]
    lightness += 0.12 * ((index // 144 * _GOLDEN_RATIO + 0.5) % 1 - 0.5)
    lab = cartesian(lightness, chroma, index * _GOLDEN_ANGLE)
    return tuple((red, green, blue) for red, green, blue in oklab_to_rgb(lab).tolist())


def shade(colors: Tensor, index: Tensor) -> Tensor:
    """Make shades of colours; shade 0 is the colour itself.

    Shade `i` has level `i % NUM_LEVELS`: levels are 0.1 or more apart in OKLab lightness, five
    times what the eye can tell, and successive ones 0.2 or more. Shades of one level differ a
    little in hue and chroma. What the screen cannot show loses chroma, never its level.

    Args:
        colors: `(..., 3)` uint8.
        index: `(...)` integers 0..NUM_SHADES - 1, broadcast against the colours.

    Returns:
        `(..., 3)` uint8.
    """
    lightness, chroma, hue = polar(rgb_to_oklab(colors))
    highest = NUM_LEVELS - 1
    below = ((lightness - _DARKEST) / _LEVEL_STEP).floor().clamp(0, highest // 2)
    above = ((_LIGHTEST - lightness) / _LEVEL_STEP).floor()
    own = torch.maximum(below, highest - above).clamp(max=highest)
    level = (own + 2 * (index % NUM_LEVELS)) % NUM_LEVELS

    # Steps of the plastic number fill the (chroma, hue) rectangle evenly, whatever the count.
    variant = index // NUM_LEVELS
    less_chroma = variant * 0.7548776662466927 % 1
    turn = (variant * 0.5698402909980532 + 0.5) % 1 - 0.5
    hue = torch.where(chroma > 0.001, hue, 0) + _HUE_RANGE * turn
    chroma = torch.where(variant > 0, chroma.clamp(min=_LEAST_CHROMA), chroma)
    lab = limit_chroma(cartesian(lightness + _LEVEL_STEP * (level - own), chroma, hue))
    lab = scale_chroma(lab, (1 - _CHROMA_RANGE * less_chroma).unsqueeze(-1))
    return torch.where((index == 0).unsqueeze(-1), colors, oklab_to_rgb(lab))


def part_colors(
    class_colors: Sequence[Color],
    num_parts: Sequence[int],
    lightness_range: float = _PART_LIGHTNESS_RANGE["class"],
) -> list[list[Color]]:
    """Make the colours of the parts of each class, in the order of the parts.

    Within a class they go from light to dark by `lightness_range` of OKLab lightness, and their hue
    swings to both sides of the class's. All stay where a shade's level makes every part of an
    instance lighter, or every part darker, so that the parts of all instances look alike.
    """
    labs = rgb_to_oklab(torch.tensor(class_colors, dtype=torch.uint8, device="cpu").view(-1, 3))
    lightness, chroma, hue = polar(labs.repeat_interleave(torch.tensor(num_parts, device="cpu"), 0))
    reach = NUM_LEVELS // 2 * _LEVEL_STEP + lightness_range / 2 + 0.005  # for rounding to bytes
    center = lightness.clamp(_DARKEST + reach, _LIGHTEST - reach)
    place = torch.cat(
        [torch.arange(count, device="cpu") / max(count - 1, 1) for count in num_parts]
    )
    hue = hue + 1.2 * torch.sin(2 * torch.pi * place**0.8)
    lab = cartesian(center + lightness_range * (0.5 - place), chroma.clamp(0.07, 0.17), hue)
    colors = ((red, green, blue) for red, green, blue in oklab_to_rgb(lab).tolist())
    return [list(islice(colors, count)) for count in num_parts]

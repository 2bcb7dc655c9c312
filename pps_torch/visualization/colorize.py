"""Segmentation maps as pictures: PPS maps and panoptic maps in the colours of their classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pps_torch.checks import check_device, check_integer, check_ndim, check_shape
from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.categories import Categories
from pps_torch.formats.panoptic import check_container
from pps_torch.reserved import ABSENT, VOID_ID
from pps_torch.specs import EvalSpec
from pps_torch.visualization.categories import colored_categories
from pps_torch.visualization.colors import (
    NUM_SHADES,
    VOID_COLOR,
    category_colors,
    shade,
    spec_paints,
)
from pps_torch.visualization.lookup import look_up, take
from pps_torch.visualization.segments import pps_segments
from pps_torch.visualization.shades import instance_shades, neighbour_differences


def colorize_pps(
    pps: Tensor, spec: EvalSpec, *, boundaries: bool = True, palette: str = "class"
) -> Tensor:
    """Draw a PPS map.

    A stuff class has its colour of the palette; the instances of a thing class have shades of it
    (pixels without an instance, and instance 1, the colour itself), clearly different where they
    touch ([`shades`][pps_torch.visualization.shades] has the rule); parts have tints around the
    shade of their instance; void is black.

    On CUDA this waits for the device three times: to check the ids, and for the list of instances
    that touch, to the host and back.

    Args:
        pps: `(*B, 3, H, W)` integers: scene class, instance, part.
        spec: what the ids mean.
        boundaries: draw a white line of one pixel between neighbouring segments.
        palette: `"class"`, the colours of the data set; or `"colorblind"`, the colours of Okabe
            and Ito, and further ones that dichromats tell apart
            ([`colorblind`][pps_torch.visualization.colorblind]).

    Returns:
        `(*B, 3, H, W)` uint8, RGB.

    Raises:
        ValueError: for a scene class or part that the spec does not have, naming it.

    Example:
        >>> import torch
        >>> from pps_torch import EvalSpec
        >>> pps = torch.tensor([[[23, 26, 26]], [[0, 1, 2]], [[1, 255, 255]]])  # sky, two cars
        >>> colorize_pps(pps, EvalSpec.load("cpp_default"), boundaries=False)[:, 0].T
        tensor([[ 70, 130, 180],
                [  0,   0, 142],
                [ 33,  83, 209]], dtype=torch.uint8)
    """
    paint = paint_map(pps, spec)
    paints = spec_paints(spec, pps.device, palette)
    rows, sids, numbers = pps_segments(pps, paints.row_of_sid)
    groups = torch.where(numbers > 0, sids, ABSENT)
    differences = neighbour_differences(rows)
    shades = instance_shades(rows, differences, groups, numbers)
    paint_and_shade = paint.mul_(NUM_SHADES).add_(take(shades, rows))
    picture = look_up(paints.colors.flatten(0, 1), paint_and_shade)
    if boundaries:
        _draw_boundaries(picture, differences)
    return picture


def colorize_panoptic(
    panoptic: PanopticSegmentation | PanopticTarget,
    categories: Categories,
    *,
    boundaries: bool = True,
    palette: str = "class",
) -> Tensor:
    """Draw a panoptic segmentation, prediction or target.

    A stuff segment has the colour of its category, the segments of a thing category have shades
    of it, clearly different where they touch (the first one the colour itself), void is black.

    Args:
        panoptic: its `panoptic_seg` `(*B, H, W)` and `category_ids` `(*B, S)` are drawn.
        categories: COCO category dicts: `id`, `isthing`, and `color` (a default where it
            is missing); or an `EvalSpec`.
        boundaries: draw a white line of one pixel between neighbouring segments.
        palette: `"class"`, the colours of the categories, or `"colorblind"`.

    Returns:
        `(*B, 3, H, W)` uint8, RGB.

    Raises:
        TypeError: for anything but tables and categories of these kinds.
        ValueError: for a segment whose category is not listed, an id of the map that no segment
            has, or a category without `id` or `isthing`, naming it.
    """
    categories = colored_categories(categories)
    category_index = segment_category_index(panoptic, categories)  # (*B, S)
    device = category_index.device
    number = _numbers_within(category_index)
    # An unused row has no colour, nor has a list without categories: both take that of void.
    is_thing = torch.tensor([*(bool(c["isthing"]) for c in categories), False], device=device)
    colors = [*category_colors(categories, palette), VOID_COLOR]
    colors = torch.tensor(colors, dtype=torch.uint8, device=device)

    # The table of segments: image by image, each beginning with void.
    groups = _after_void(torch.where(is_thing[category_index], category_index, ABSENT), ABSENT)
    numbers = torch.where(groups >= 0, _after_void(number, 0), 0)
    color_of_row = _after_void(category_index, ABSENT).flatten() % len(colors)
    *batch, num_rows = groups.shape
    first_row = torch.arange(0, groups.numel(), num_rows, device=device).view(*batch, 1, 1)
    rows = panoptic.panoptic_seg + first_row
    differences = neighbour_differences(rows)
    shades = instance_shades(rows, differences, groups.flatten(), numbers.flatten())
    # Thousands of segments have some hundred looks, and each is computed once.
    looks, look_of_row = (color_of_row * NUM_SHADES + shades).unique(return_inverse=True)
    colors = shade(colors[looks // NUM_SHADES], looks % NUM_SHADES)[look_of_row]
    picture = look_up(colors, rows)
    if boundaries:
        _draw_boundaries(picture, differences)
    return picture


def paint_map(pps: Tensor, spec: EvalSpec, name: str = "pps") -> Tensor:
    """The paint of each pixel of a PPS map, `(*B, H, W)` int32 indices into the spec's `Paints`.

    Raises:
        TypeError, ValueError: for a map that does not fit the spec; `name` is what they call it.
    """
    check_integer(name, pps)
    check_ndim(name, pps, 3, "(*B, 3, H, W)")
    if pps.shape[-3] != 3:
        raise ValueError(f"{name}: expected shape (*B, 3, H, W), found {tuple(pps.shape)}")
    sids, iids, pids = pps.unbind(-3)
    if iids.numel() and iids.min() < 0:
        raise ValueError(f"{name}: expected instance numbers >= 0, found {int(iids.min())}")
    paints = spec_paints(spec, pps.device)
    rows, columns = paints.paint_of.shape
    if _all_below(len(paints.row_of_sid), sids) and _all_below(len(paints.column_of_pid), pids):
        row, column = take(paints.row_of_sid, sids.int()), take(paints.column_of_pid, pids.int())
        if _all_below(rows, row):
            paint = take(paints.paint_of.flatten(), column.add_(row, alpha=columns))
            if paint.numel() == 0 or paint.min() >= 0:
                return paint
    raise ValueError(f"{name}: {_unknown_ids(sids, pids, spec)}")


def segment_category_index(
    panoptic: PanopticSegmentation | PanopticTarget, categories: list[dict[str, Any]]
) -> Tensor:
    """The place of each segment's category in the list, `(*B, S)` int64; -1 in unused rows.

    Raises:
        TypeError, ValueError: for a table or a map that does not fit the categories.
    """
    check_container("panoptic", panoptic, PanopticSegmentation, PanopticTarget)
    category_ids, ids = panoptic.category_ids, panoptic.panoptic_seg
    check_integer("panoptic.category_ids", category_ids)
    check_integer("panoptic.panoptic_seg", ids)
    check_ndim("panoptic.panoptic_seg", ids, 2, "(*B, H, W)")
    check_ndim("panoptic.category_ids", category_ids, 1, "(*B, S)")
    check_shape("panoptic.category_ids", category_ids, (*ids.shape[:-2], category_ids.shape[-1]))
    check_device("panoptic.category_ids", category_ids, ids)
    category_ids = category_ids.long()
    listed = torch.tensor([c["id"] for c in categories] + [ABSENT], device=ids.device)
    sorted_ids, places = listed.sort()
    position = torch.searchsorted(sorted_ids, category_ids).clamp(max=len(categories))
    is_listed = sorted_ids[position] == category_ids
    unknown = category_ids[~is_listed].unique().tolist()
    if unknown:
        raise ValueError(f"categories: the segments' category ids {unknown} are not among them")
    num_segments = (category_ids != ABSENT).sum(-1)[..., None, None]
    without_row = ids[(ids < VOID_ID) | (ids > num_segments)].unique().tolist()
    if without_row:
        raise ValueError(f"panoptic_seg: ids {without_row} have no row in category_ids")
    return torch.where(category_ids != ABSENT, places[position], ABSENT)


def _draw_boundaries(picture: Tensor, differences: tuple[Tensor, Tensor]) -> None:
    """Paint white, in place, each pixel whose right or lower neighbour differs."""
    right, lower = differences
    white = picture.new_zeros(picture.shape[:-3] + picture.shape[-2:])
    white[..., :, :-1] |= right
    white[..., :-1, :] |= lower
    torch.maximum(picture, white.mul_(255).unsqueeze(-3), out=picture)


def _numbers_within(categories: Tensor) -> Tensor:
    """Numbers the segments `(*B, S)` of each category from 1 on, in their order."""
    in_order, rows = categories.sort(dim=-1, stable=True)
    first = torch.searchsorted(in_order, in_order)
    places = torch.arange(categories.shape[-1], device=categories.device)
    return torch.empty_like(rows).scatter_(-1, rows, places - first + 1)


def _after_void(segments: Tensor, void: int) -> Tensor:
    """Put a first column, for void, before a table `(*B, S)` of segments."""
    return torch.cat([segments.new_full((*segments.shape[:-1], 1), void), segments], dim=-1)


def _all_below(end: int, ids: Tensor) -> bool:
    return ids.numel() == 0 or (int(ids.min()) >= 0 and int(ids.max()) < end)


def _unknown_ids(sids: Tensor, pids: Tensor, spec: EvalSpec) -> str:
    """Describe the ids of a PPS map that the spec does not have."""
    pairs = torch.stack([sids.flatten(), pids.flatten()]).unique(dim=1).T.tolist()
    known_sids = {*spec.eval_sids, spec.ignore_label}
    unknown_sids = sorted({sid for sid, _ in pairs} - known_sids)
    if unknown_sids:
        known = ", ".join(map(str, spec.eval_sids))
        return f"scene classes {unknown_sids} are not in {spec.name}, which has {known}"
    paint_of = spec_paints(spec, torch.device("cpu")).paint_of_pair
    unknown_pairs = [f"{sid}_{pid:02d}" for sid, pid in pairs if paint_of(sid, pid) == ABSENT]
    return f"parts {', '.join(unknown_pairs)} (scene class_part) are not in {spec.name}"

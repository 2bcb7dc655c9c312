"""Segmentation maps as pictures: PPS maps and panoptic maps in the colours of their classes."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.checks import check_integer, check_ndim
from pps_torch.formats.reserved import ABSENT, VOID_ID
from pps_torch.specs import EvalSpec
from pps_torch.visualization.colors import (
    BOUNDARY_COLOR,
    NUM_SHADES,
    VOID_COLOR,
    category_colors,
    shade,
    spec_paints,
)


def colorize_pps(pps: Tensor, spec: EvalSpec, *, boundaries: bool = True) -> Tensor:
    """Draws a PPS map.

    A stuff class has its colour of the spec; the instances of a thing class have shades of it
    (instance 1, and pixels without an instance, the colour itself); parts have tints around the
    shade of their instance; void is black.

    Args:
        pps: ``(*B, 3, H, W)`` integers: scene class, instance, part.
        spec: what the ids mean.
        boundaries: draw a white line of one pixel between neighbouring segments.

    Returns:
        ``(*B, 3, H, W)`` uint8, RGB.

    Raises:
        ValueError: for a scene class or part that the spec does not have, naming it.
    """
    paint = paint_map(pps, spec)
    sids, iids, _ = pps.unbind(-3)
    shade_index = (iids.int() - 1).clamp_(min=0).remainder_(NUM_SHADES)
    colors = spec_paints(spec, pps.device).colors
    picture = _look_up(colors.flatten(0, 1), shade_index.add_(paint, alpha=NUM_SHADES))
    if boundaries:
        _draw_boundaries(picture, sids, iids)
    return picture


def colorize_panoptic(
    panoptic: PanopticSegmentation | PanopticTarget,
    categories: list[dict],
    *,
    boundaries: bool = True,
) -> Tensor:
    """Draws a panoptic segmentation, prediction or target.

    A stuff segment has the colour of its category, the segments of a thing category have shades
    of it (the first one the colour itself), void is black.

    Args:
        panoptic: its ``panoptic_seg`` ``(*B, H, W)`` and ``category_ids`` ``(*B, S)`` are drawn.
        categories: COCO category dicts: ``id``, ``isthing``, and ``color`` (a default where it
            is missing).
        boundaries: draw a white line of one pixel between neighbouring segments.

    Returns:
        ``(*B, 3, H, W)`` uint8, RGB.

    Raises:
        ValueError: for a segment whose category is not listed, or an id of the map that no
            segment has, naming it.
    """
    category_index = segment_category_index(panoptic, categories)  # (*B, S)
    device = category_index.device
    is_thing = torch.tensor([bool(c["isthing"]) for c in categories], device=device)
    colors = torch.tensor(category_colors(categories), dtype=torch.uint8, device=device)

    same_category = category_index.unsqueeze(-1) == category_index.unsqueeze(-2)
    number_in_category = same_category.tril(-1).sum(-1)
    segment_colors = shade(colors[category_index], number_in_category * is_thing[category_index])
    void = torch.tensor(VOID_COLOR, dtype=torch.uint8, device=device)
    table = torch.cat([void.expand(*segment_colors.shape[:-2], 1, 3), segment_colors], dim=-2)

    batch, rows = table.shape[:-2], table.shape[-2]
    first_row = torch.arange(0, batch.numel() * rows, rows, device=device).view(*batch, 1, 1)
    ids = panoptic.panoptic_seg
    picture = _look_up(table.flatten(0, -2), ids + first_row)
    if boundaries:
        _draw_boundaries(picture, ids)
    return picture


def paint_map(pps: Tensor, spec: EvalSpec) -> Tensor:
    """``(*B, H, W)`` int32: which of the spec's ``Paints`` each pixel of a PPS map has."""
    check_integer("pps", pps)
    check_ndim("pps", pps, 3, "(*B, 3, H, W)")
    if pps.shape[-3] != 3:
        raise ValueError(f"pps: expected shape (*B, 3, H, W), got {tuple(pps.shape)}")
    sids, iids, pids = pps.unbind(-3)
    if iids.numel() and iids.min() < 0:
        raise ValueError(f"pps: expected instance numbers >= 0, got {int(iids.min())}")
    paint_of = spec_paints(spec, pps.device).paint_of_sid_pid
    rows, columns = paint_of.shape
    if not (_all_below(rows, sids) and _all_below(columns, pids)):
        raise ValueError(_unknown_ids(sids, pids, spec))
    paint = _take(paint_of.flatten(), torch.add(pids, sids.int(), alpha=columns))
    if (paint < 0).any():
        raise ValueError(_unknown_ids(sids, pids, spec))
    return paint


def segment_category_index(
    panoptic: PanopticSegmentation | PanopticTarget, categories: list[dict]
) -> Tensor:
    """``(*B, S)`` int64: the place of each segment's category in the list; 0 in unused rows."""
    category_ids, ids = panoptic.category_ids, panoptic.panoptic_seg
    listed = torch.tensor([c["id"] for c in categories], device=category_ids.device)
    is_listed = category_ids.unsqueeze(-1) == listed
    unknown = category_ids[~is_listed.any(-1) & (category_ids != ABSENT)].unique().tolist()
    if unknown:
        raise ValueError(f"categories: the segments' category ids {unknown} are not among them")
    num_segments = (category_ids != ABSENT).sum(-1)[..., None, None]
    without_row = ids[(ids < VOID_ID) | (ids > num_segments)].unique().tolist()
    if without_row:
        raise ValueError(f"panoptic_seg: ids {without_row} have no row in category_ids")
    return is_listed.int().argmax(-1)


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table ``(N, 3)`` at each pixel: ``(*B, H, W)`` to ``(*B, 3, H, W)``."""
    return torch.stack([_take(channel, index) for channel in table.T.contiguous()], dim=-3)


def _take(table: Tensor, index: Tensor) -> Tensor:
    return table.index_select(0, index.flatten()).view(index.shape)


def _draw_boundaries(picture: Tensor, *id_maps: Tensor) -> None:
    """Paints, in place, each pixel whose right or lower neighbour differs in one of the maps."""
    edges = torch.zeros_like(id_maps[0], dtype=torch.bool)
    for ids in id_maps:
        edges[..., :, :-1] |= ids[..., :, :-1] != ids[..., :, 1:]
        edges[..., :-1, :] |= ids[..., :-1, :] != ids[..., 1:, :]
    for channel, value in zip(picture.unbind(-3), BOUNDARY_COLOR, strict=True):
        channel.masked_fill_(edges, value)


def _all_below(end: int, ids: Tensor) -> bool:
    return ids.numel() == 0 or (int(ids.min()) >= 0 and int(ids.max()) < end)


def _unknown_ids(sids: Tensor, pids: Tensor, spec: EvalSpec) -> str:
    """What to say about the ids of a PPS map that the spec does not have."""
    pairs = torch.stack([sids.flatten(), pids.flatten()]).unique(dim=1).T.tolist()
    known_sids = {*spec.eval_sids, spec.ignore_label}
    unknown_sids = sorted({sid for sid, _ in pairs} - known_sids)
    if unknown_sids:
        known = ", ".join(map(str, spec.eval_sids))
        return f"pps: scene classes {unknown_sids} are not in {spec.name}, which has {known}"
    known_pids = {sid: {0, spec.ignore_label, *spec.part_pids.get(sid, (1,))} for sid in known_sids}
    unknown_pairs = [
        f"{sid}_{pid:02d}"
        for sid, pid in pairs
        if sid != spec.ignore_label and pid not in known_pids[sid]
    ]
    return f"pps: parts {', '.join(unknown_pairs)} (scene class_part) are not in {spec.name}"

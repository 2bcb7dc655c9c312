"""Where a prediction differs from the ground truth, pixel by pixel, in the terms of PartPQ.

A predicted and a ground-truth segment of one class are one another's match, and so found, when
their IoU is above 0.5; void and crowds are not evaluated
([`PartPanopticQuality`][pps_torch.PartPanopticQuality] has the rules).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.checks import check_device, check_integer, check_ndim, check_shape
from pps_torch.ops.counting.pixel_runs import pixel_runs
from pps_torch.ops.scoring.contract import SegmentMatches
from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.segment_pairs import list_pairs
from pps_torch.reserved import ABSENT, UNDEFINED_PART
from pps_torch.specs import EvalSpec
from pps_torch.visualization.colorize import paint_map
from pps_torch.visualization.colors import spec_paints
from pps_torch.visualization.legend import LegendEntry
from pps_torch.visualization.lookup import look_up, take
from pps_torch.visualization.oklab import Color
from pps_torch.visualization.segments import pps_segments


class PixelError(IntEnum):
    """The kinds of pixels of a prediction: agreed, an error, or not evaluated."""

    VOID = 0  #: not evaluated: the ground truth is void, or a crowd
    AGREED = 1  #: in a segment that was found, and in its match
    WRONG_PART = 2  #: as AGREED, but the part is another one, or none
    WRONG_CLASS = 3  #: of another class; both segments were found, or neither
    MISSED = 4  #: in a segment that was not found, or predicted void
    EXTRA = 5  #: in a segment that was found, but given to another one than its match


# At least 0.14 apart in OKLab, to normal vision and to dichromats.
_LOOKS: dict[PixelError, tuple[str, Color]] = {
    PixelError.AGREED: ("agreed", (235, 240, 245)),
    PixelError.WRONG_PART: ("wrong part", (225, 195, 20)),
    PixelError.WRONG_CLASS: ("wrong class", (213, 94, 0)),
    PixelError.MISSED: ("missed", (0, 114, 178)),
    PixelError.EXTRA: ("extra", (86, 180, 233)),
    PixelError.VOID: ("void or crowd", (80, 80, 80)),
}


def error_map(pps: Tensor, gt_pps: Tensor, spec: EvalSpec) -> Tensor:
    """Compare a prediction with the ground truth, pixel by pixel.

    Each pixel that is evaluated has one of the kinds of `PixelError`. Where the classes
    differ: *extra* if only the ground-truth segment was found, *missed* if only the predicted one
    was, else *wrong class*. Where the classes are equal and the segments are not one another's
    match: *extra* if the ground-truth segment was found, else *missed*.

    On CUDA this waits for the device: to check the ids, and to count the segments.

    Args:
        pps: the prediction, `(*B, 3, H, W)` integers: scene class, instance, part.
        gt_pps: the ground truth in the same form, from `ground_truth_pps`.
        spec: what the ids mean.

    Returns:
        `(*B, H, W)` uint8 for `colorize_errors` and `error_legend_entries`.

    Raises:
        ValueError: different shapes, or ids that the spec does not have, naming the map.

    Example:
        >>> import torch
        >>> from pps_torch import EvalSpec
        >>> gt = torch.tensor([[[7, 7, 7, 26]], [[0, 0, 0, 1]], [[1, 1, 1, 5]]])  # road, a car
        >>> pps = torch.tensor([[[7, 7, 24, 26]], [[0, 0, 1, 1]], [[1, 1, 1, 2]]])
        >>> error_map(pps, gt, EvalSpec.load("cpp_default")).tolist()
        [[1, 1, 5, 2]]
    """
    paint_map(pps, spec)
    check_integer("gt_pps", gt_pps)
    check_shape("gt_pps", gt_pps, tuple(pps.shape))
    check_device("gt_pps", gt_pps, pps)
    paint_map(gt_pps, spec, "gt_pps")
    gt, pred = _segments(gt_pps, spec), _segments(pps, spec)
    gt_parts, parts = gt_pps.select(-3, 2), pps.select(-3, 2)
    has_parts = torch.isin(gt.sids, torch.tensor([*spec.parts], device=pps.device))
    has_label = torch.zeros_like(has_parts)
    has_label[torch.where(gt_parts != UNDEFINED_PART, gt.index, 0)] = True
    is_thing = torch.isin(gt.sids, torch.tensor([*spec.things], device=pps.device))
    is_crowd = (is_thing & (gt.numbers == 0)) | (has_parts & ~has_label)
    gt_parts = torch.where(take(has_parts, gt.index), gt_parts, UNDEFINED_PART)
    return with_wrong_parts(_segment_errors(gt, pred, is_crowd), gt_parts, parts)


def colorize_errors(errors: Tensor) -> Tensor:
    """Draw an `error_map`: `(*B, H, W)` to `(*B, 3, H, W)` uint8, RGB."""
    _check_errors(errors)
    check_ndim("errors", errors, 2, "(*B, H, W)")
    colors = [_LOOKS[kind][1] for kind in PixelError]
    return look_up(torch.tensor(colors, dtype=torch.uint8, device=errors.device), errors.int())


def error_legend_entries(errors: Tensor) -> list[LegendEntry]:
    """List the kinds of pixels in an `error_map`, or in integers of any shape, for a legend."""
    _check_errors(errors)
    present = set(errors.unique().tolist())
    return [LegendEntry(*look) for kind, look in _LOOKS.items() if kind in present]


def _check_errors(errors: Tensor) -> None:
    """Raise TypeError, or ValueError, for what is not an `error_map`."""
    check_integer("errors", errors)
    if errors.numel():
        least, most = (int(value) for value in errors.aminmax())
        if least < 0 or most > max(PixelError):
            expected = f"kinds of PixelError, 0..{int(max(PixelError))}"
            raise ValueError(f"errors: expected {expected}, found {least}..{most}")


class _Segments(NamedTuple):
    """The segments in a map; number 0 is void.

    `index` is `(*B, H, W)` int32, `sids` (-1 for void) and `numbers` are `(S + 1,)`.
    """

    index: Tensor  # type: ignore[assignment]  # the name hides tuple.index
    sids: Tensor
    numbers: Tensor


def _segments(pps: Tensor, spec: EvalSpec) -> _Segments:
    table = pps_segments(pps, spec_paints(spec, pps.device).row_of_sid)
    areas = torch.bincount(table.rows.flatten(), minlength=len(table.sids))
    is_segment = (areas > 0) & (table.sids != spec.ignore_label)
    index_of_row = is_segment.cumsum(0).mul_(is_segment).int()
    sids = F.pad(table.sids[is_segment], (1, 0), value=ABSENT)
    numbers = F.pad(table.numbers[is_segment], (1, 0), value=ABSENT)
    return _Segments(take(index_of_row, table.rows), sids, numbers)


def _segment_errors(gt: _Segments, pred: _Segments, is_crowd: Tensor) -> Tensor:
    """The kind of each pixel by its segments alone, `(*B, H, W)` uint8."""
    runs = pixel_runs(gt.index.flatten()[None], pred.index.flatten()[None])
    gt_of_run, pred_of_run = (index.long() for index in runs.maps)
    shape = 1, len(gt.sids), len(pred.sids)
    pairs = list_pairs(runs.image, gt_of_run, pred_of_run, runs.lengths, shape)
    matches = match_segments(pairs, gt.sids[None], pred.sids[None], is_crowd[None])
    errors = errors_of_pairs(gt_of_run, pred_of_run, matches, gt.sids, pred.sids, is_crowd)
    return runs.expand(errors).view(gt.index.shape)


def errors_of_pairs(
    gt: Tensor,
    pred: Tensor,
    matches: SegmentMatches,
    gt_sids: Tensor,
    pred_sids: Tensor,
    is_crowd: Tensor,
) -> Tensor:
    """The kind of pixels by their ground-truth and their predicted segment, uint8.

    Args:
        gt, pred: the numbers of the two segments, int64 of any shape.
        matches: of one image.
        gt_sids, is_crowd: `(G,)`, of the ground-truth segments; -1 is the class of void.
        pred_sids: `(P,)`, of the predicted segments.
    """
    match = matches.pred_of_gt[0][gt]
    gt_found, pred_found = match > 0, matches.gt_of_pred[0][pred] > 0
    gt_sids, pred_sids, is_crowd = gt_sids[gt], pred_sids[pred], is_crowd[gt]
    same_class = gt_sids == pred_sids
    is_extra = gt_found & (same_class | ~pred_found)
    is_missed = ~gt_found & (same_class | pred_found)
    errors = torch.full_like(match, PixelError.WRONG_CLASS, dtype=torch.uint8)
    errors = errors.masked_fill(is_extra, PixelError.EXTRA)
    errors = errors.masked_fill(is_missed | (pred_sids == ABSENT), PixelError.MISSED)
    errors = errors.masked_fill(gt_found & (match == pred), PixelError.AGREED)
    return errors.masked_fill((gt_sids == ABSENT) | is_crowd, PixelError.VOID)


def with_wrong_parts(errors: Tensor, gt_parts: Tensor, pred_parts: Tensor) -> Tensor:
    """Mark wrong parts among the pixels whose segments agree.

    Args:
        errors: `(*B, H, W)` uint8, `errors_of_pairs` of the segments at each pixel.
        gt_parts: the same shape, 0 where the part is not labelled or the class has none.
        pred_parts: the same shape.
    """
    is_wrong = (gt_parts != UNDEFINED_PART) & (gt_parts != pred_parts)
    return errors.masked_fill(is_wrong & (errors == PixelError.AGREED), PixelError.WRONG_PART)

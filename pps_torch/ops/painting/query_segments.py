"""The segments that queries make of an image, once each has its class."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation
from pps_torch.graph_capture import in_float64
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.index_of import index_of
from pps_torch.ops.painting.add_stuff import place_rows
from pps_torch.ops.painting.batch_dims import flatten_batch, unflatten_batch
from pps_torch.ops.painting.paint_ids import paint_ids
from pps_torch.ops.painting.query_competition import QueryAreas, query_competition
from pps_torch.reserved import ABSENT


def query_segments(
    mask_logits: Tensor,
    scores: Tensor,
    classes: Tensor,
    thing_ids: Tensor,
    size: tuple[int, int],
    *,
    num_classes: int,
    object_mask_threshold: float,
    min_kept_fraction: float,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Let queries compete for the pixels, drop those that lose too many, and fuse stuff.

    The two versions may differ where products of probabilities, or a probability and 0.5, are equal
    up to rounding.

    Args:
        mask_logits: `(*B, Q, h, w)` float, upsampled bilinearly to `size`; NaN counts as -inf.
        scores: `(*B, Q)` float, the probability of the class of a query.
        classes: `(*B, Q)` int64; `num_classes` is "no object".
        thing_ids: `(K,)` int64, the classes that are things.
        size: `(H, W)`.
        num_classes: classes but for "no object"; such a query takes no part.
        object_mask_threshold: the score that a query must be strictly above to take part; compared
            in the dtype of the scores.
        min_kept_fraction: the pixels that a query wins over its pixels with probability 0.5 or
            more; below it the query is dropped.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `PanopticSegmentation` of all images, with a capacity of Q segments.
    """
    if uses_triton(backend, mask_logits):
        from pps_torch.ops.painting.triton import query_segments as twin

        inputs = (mask_logits, scores, classes, thing_ids)
        thresholds = (object_mask_threshold, min_kept_fraction)
        return PanopticSegmentation(*twin.query_segments(*inputs, *size, num_classes, *thresholds))
    batch, mask_logits = scores.shape[:-1], flatten_batch(mask_logits, 3)
    scores, classes = flatten_batch(scores, 1), flatten_batch(classes, 1)
    takes_part = (scores > object_mask_threshold) & (classes != num_classes)
    areas = query_competition(mask_logits, scores, takes_part, size)
    return unflatten_batch(
        kept_segments(areas, classes, scores, thing_ids, min_kept_fraction), batch
    )


def kept_segments(
    areas: QueryAreas, classes: Tensor, scores: Tensor, thing_ids: Tensor, min_kept_fraction: float
) -> PanopticSegmentation:
    """Make segments of the queries that own pixels and keep enough of their masks.

    Args:
        areas: what the queries own, and how many pixels.
        classes, scores, thing_ids: see `segments_of_queries`.
        min_kept_fraction: see `query_segments`.
    """
    kept_fraction = areas.won.double() / areas.masks.double()
    keeps_enough = kept_fraction >= in_float64(min_kept_fraction, kept_fraction)
    is_segment = (areas.owned > 0) & (areas.masks > 0) & keeps_enough
    return segments_of_queries(areas.owner, areas.owned, is_segment, classes, scores, thing_ids)


def segments_of_queries(
    owner: Tensor,
    owned: Tensor,
    is_segment: Tensor,
    classes: Tensor,
    scores: Tensor,
    thing_ids: Tensor,
) -> PanopticSegmentation:
    """Number the queries that are segments, and paint the pixels that they own.

    Args:
        owner: `(B, H, W)` int32, the query of each pixel plus 1, 0 for none.
        owned: `(B, Q)` int64, the pixels of each query.
        is_segment: `(B, Q)` bool; the pixels of the others are void.
        classes, scores, thing_ids: as in `query_segments`.
    """
    is_thing = index_of(classes, thing_ids) >= 0
    segment_of_query, is_first = _number_queries(classes, is_thing, is_segment)
    rows = torch.where(is_first, segment_of_query - 1, ABSENT)
    query = torch.arange(classes.shape[1], device=classes.device).expand_as(classes)
    visible = owned.new_zeros(classes.shape[0], classes.shape[1] + 1)
    visible.scatter_add_(1, segment_of_query, torch.where(is_segment, owned, 0))
    return PanopticSegmentation(
        panoptic_seg=paint_ids(owner, segment_of_query),
        category_ids=place_rows(classes, rows, unused=ABSENT),
        is_thing=place_rows(is_thing, rows, unused=0),
        scores=place_rows(scores, rows, unused=0),
        areas=visible[:, 1:],
        source=place_rows(torch.where(is_thing, query, ABSENT), rows, unused=ABSENT),
        num_segments=is_first.sum(1),
    )


def _number_queries(classes: Tensor, is_thing: Tensor, is_segment: Tensor) -> tuple[Tensor, Tensor]:
    """Number the queries that are segments in their order; stuff of one class shares a number.

    Args:
        classes: `(B, Q)` int64.
        is_thing, is_segment: `(B, Q)` bool.

    Returns:
        `segment_of_query (B, Q)` int64, 0 for dropped ones, and `is_first (B, Q)` bool.
    """
    num_queries = classes.shape[1]
    same_stuff = (classes[:, :, None] == classes[:, None, :]) & ~is_thing[:, :, None]
    is_earlier = torch.ones(num_queries, num_queries, device=classes.device).tril(-1).bool()
    has_earlier = (same_stuff & is_earlier & is_segment[:, None, :]).any(2)
    is_first = is_segment & ~has_earlier
    number = is_first.cumsum(1) * is_first
    stuff_number = (same_stuff * number[:, None, :]).sum(2)  # one of a class has a number
    return torch.where(is_thing, number, stuff_number) * is_segment, is_first

"""Records of the segments of an image: what became of each, from the metric's own counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.collector import paused_collector
from pps_torch.metrics.class_counts import ClassCounts
from pps_torch.metrics.comparisons import SegmentComparison
from pps_torch.metrics.pps_and_uids import flat_uids_and_pps
from pps_torch.ops.counting.pixel_runs import pixel_runs
from pps_torch.ops.scoring.class_confusion import class_confusion
from pps_torch.ops.scoring.contract import LIMB_BITS, PixelRules, SegmentPairs
from pps_torch.ops.scoring.dense_indices import dense_indices
from pps_torch.ops.scoring.match_segments import area_sums
from pps_torch.ops.scoring.mean_part_iou import part_overlaps
from pps_torch.ops.scoring.part_pixels import PartRuns
from pps_torch.reserved import ABSENT

#: What can become of a segment. A crowd is ground truth that is not evaluated. A prediction is
#: ignored when more than half of it lies on void and crowds of its class, and ground truth when the
#: rules forgive a miss, see [`PanopticRules`][pps_torch.metrics.panoptic_rules.PanopticRules].
VERDICTS = ("tp", "fp", "fn", "crowd", "ignored")


class SegmentRecord(NamedTuple):
    """One segment of one image.

    A match is two records, one of each map, with the same `iou` and `part_iou`; only that of
    the ground truth has `part_ious`. So sums of a class run over the ground truth for TP, FN and
    the parts, and over the predictions for FP.

    Attributes:
        is_gt: whether it is of the ground truth.
        index: its number in the image, as in `segment_maps`; for PQ the segment id.
        class_id: category id or scene id.
        instance: the instance id in a PPS map or in a uid, where stuff without one has 0, which
            is the same segment; None for a crowd of things without instance id, and for PQ.
        area: pixels.
        verdict: one of `VERDICTS`.
        match: `index` of its match in the other map, None without one.
        iou: mask IoU with the match, void and all by the metric's rule, for Boundary PQ the smaller
            one of that and the IoU of the boundaries; None without a match.
        part_iou: what the match counts with in PartPQ: the mean of `part_ious`, or `iou` for
            a class without parts; None without a match, and for PQ.
        part_ious: of a ground-truth segment, the IoU of each part label that is present in it or
            in its match, 0 is background; empty for predictions, without a match, for classes
            without parts, and for PQ.
        taken_for: class of the segment of the other map that covers most of its pixels (the
            first one of several); None where most of them, or none at all, lie on void.
        taken_share: fraction of the segment's pixels that this segment, or void, covers.
    """

    is_gt: bool
    index: int  # type: ignore[assignment]  # the name hides tuple.index
    class_id: int
    instance: int | None
    area: int
    verdict: str
    match: int | None
    iou: float | None
    part_iou: float | None
    part_ious: dict[int, float]
    taken_for: int | None
    taken_share: float


class ImageRecord(NamedTuple):
    """The segments of one image, and which class was predicted where.

    Attributes:
        segments: ground truth first, then predictions, each by `index`.
        confused_pixels: `(C, C + 1)` int64 pixels. Row: the class of a ground-truth segment
            that is no crowd. Column: the class predicted there; the last one is void. Pixels of
            ground-truth void and of crowds are in no row.
    """

    segments: list[SegmentRecord]
    confused_pixels: Tensor


#: The place in `ClassCounts` of what is counted, of a prediction and of a ground-truth segment.
_COUNTED = {"fp": 2}, {"tp": 1, "fn": 3}


def counts_by_class(
    segments: Iterable[SegmentRecord], *, part_aware: bool
) -> dict[int, ClassCounts]:
    """Add up records to the counts of the metric, to the same bits.

    Args:
        segments: of any number of images.
        part_aware: take `part_iou`, as PartPQ does, in place of `iou`.

    Returns:
        by class id, for the classes that have any segment that counts.
    """
    sums: dict[int, list[int]] = {}
    for segment in segments:
        place = _COUNTED[segment.is_gt].get(segment.verdict)
        if place is None:
            continue
        class_sums = sums.setdefault(segment.class_id, [0, 0, 0, 0])
        class_sums[place] += 1
        if segment.verdict == "tp":
            iou: Any = segment.part_iou if part_aware else segment.iou
            class_sums[0] += int(iou * (1 << 2 * LIMB_BITS))
    return {
        class_id: ClassCounts(iou / (1 << 2 * LIMB_BITS), *counts)
        for class_id, (iou, *counts) in sums.items()
    }


def part_segment_maps(pps: Tensor, gt: Tensor, rules: PixelRules) -> tuple[Tensor, Tensor]:
    """Maps of the segments, by the `index` of their records.

    Args:
        pps: `(*B, 3, H, W)`, any integer dtype.
        gt: `(*B, H, W)` uids, any integer dtype.
        rules: what the ids mean.

    Returns:
        prediction and ground truth, `(*B, H, W)` integers, 0 is void.
    """
    uids, pps = flat_uids_and_pps(pps, gt)
    pixels = PartRuns(pixel_runs(uids, *pps.unbind(1)), uids.shape, rules)
    marks = pixels.mark()
    tables = [dense_indices(m, rules.capacity, backend="torch") for m in (marks.gt, marks.pred)]
    gt_map, pred_map = pixels.index(*tables).maps()
    return pred_map.view(gt.shape), gt_map.view(gt.shape)


@paused_collector()
def image_records(comparison: SegmentComparison) -> list[ImageRecord]:
    """The records of a batch that the `compare` of a metric has compared."""
    if comparison.boundaries is not None:
        matches, scores, _ = comparison.boundaries
        comparison = comparison._replace(matches=matches._replace(iou=scores), scores=scores)
    gt_class, pred_class = comparison.gt_class.cpu(), comparison.pred_class.cpu()
    counted_class = torch.where(comparison.is_crowd.cpu(), ABSENT, gt_class)
    class_ids = comparison.class_ids
    gt, pred, pixels = pairs = SegmentPairs(*(column.cpu() for column in comparison.pairs))
    confused_pixels = class_confusion(pairs, counted_class, pred_class, len(class_ids))
    gt_instances, pred_instances = _instances(comparison)
    gt_taken = _taken_for(gt, pred, pixels, gt_class, pred_class)
    pred_taken = _taken_for(pred, gt, pixels, pred_class, gt_class)
    gt_rows = _gt_rows(comparison, gt_instances, *gt_taken)
    pred_rows = _pred_rows(comparison, pred_instances, *pred_taken)
    images = zip(gt_rows, pred_rows, _part_ious(comparison), confused_pixels)
    has_parts = comparison.parts is not None
    return [
        ImageRecord(
            [
                *_records_of_map(True, gt_image, class_ids, has_parts, part_ious),
                *_records_of_map(False, pred_image, class_ids, has_parts, {}),
            ],
            confused,
        )
        for gt_image, pred_image, part_ious, confused in images
    ]


#: Of a segment: class index, instance, area; its match (0 for none), whether it is an error without
#: one, whether it is a crowd; IoU and score of the match; what it was taken for, and its share.
_Row = tuple[int, int, int, int, bool, bool, float, float, int, float]


def _gt_rows(
    comparison: SegmentComparison, instances: Tensor, taken_for: Tensor, share: Tensor
) -> list[Iterator[_Row]]:
    """The rows of the ground-truth segments, for each image."""
    matches = comparison.matches
    return _rows(
        *(comparison.gt_class, instances, matches.gt_area),
        *(matches.pred_of_gt, matches.is_fn, comparison.is_crowd),
        *(matches.iou, comparison.scores, taken_for, share),
    )


def _pred_rows(
    comparison: SegmentComparison, instances: Tensor, taken_for: Tensor, share: Tensor
) -> list[Iterator[_Row]]:
    """The rows of the predicted segments, for each image."""
    matches, match = comparison.matches, comparison.matches.gt_of_pred
    return _rows(
        *(comparison.pred_class, instances, matches.pred_area),
        *(match, matches.is_fp, torch.zeros_like(matches.is_fp)),
        *(matches.iou.gather(1, match), comparison.scores.gather(1, match), taken_for, share),
    )


def _rows(*columns: Tensor) -> list[Iterator[_Row]]:
    """Columns `(B, S)` as rows of each image."""
    return [zip(*lists) for lists in zip(*(column.tolist() for column in columns))]


def _records_of_map(
    is_gt: bool,
    rows: Iterator[_Row],
    class_ids: tuple[int, ...],
    has_parts: bool,
    part_ious: dict[int, dict[int, float]],
) -> Iterator[SegmentRecord]:
    """Records of one map of an image: the segments with a class that have pixels or are missed.

    Args:
        is_gt: whether it is the ground truth.
        rows: of all segments.
        class_ids: what the class indices mean.
        has_parts: whether a match counts with a part IoU.
        part_ious: by part label, of the segments that have any, by their number.
    """
    wrong = "fn" if is_gt else "fp"
    for number, row in enumerate(rows):
        class_index, instance, area, match, is_wrong, is_crowd, iou, score, taken_for, share = row
        if class_index < 0 or not (area or (is_gt and is_wrong)):
            continue
        yield SegmentRecord(
            is_gt,
            number,
            class_ids[class_index],
            None if instance == ABSENT else instance,
            area,
            "tp" if match else wrong if is_wrong else "crowd" if is_crowd else "ignored",
            match or None,
            iou if match else None,
            score if match and has_parts else None,
            part_ious.get(number, {}),
            None if taken_for < 0 else class_ids[taken_for],
            share,
        )


def _instances(comparison: SegmentComparison) -> tuple[Tensor, Tensor]:
    """Instance ids of both maps, -1 where there is none."""
    if comparison.parts is None:
        gt_class, pred_class = comparison.gt_class, comparison.pred_class
        return torch.full_like(gt_class, ABSENT), torch.full_like(pred_class, ABSENT)
    slots = comparison.parts.capacity + 2

    def instances(keys: Tensor) -> Tensor:
        slot = (keys - 1) % slots
        return torch.where((keys == 0) | (slot == slots - 1), ABSENT, slot)

    return instances(comparison.parts.gt_keys), instances(comparison.parts.pred_keys)


def _part_ious(comparison: SegmentComparison) -> list[dict[int, dict[int, float]]]:
    """IoU by part label of the ground-truth segments that have any, by their number, per image."""
    parts, matches = comparison.parts, comparison.matches
    tables: list[dict[int, dict[int, float]]] = [{} for _ in matches.gt_area]
    if parts is None:
        return tables
    overlaps = part_overlaps(
        parts.gt_parts,
        parts.pred_parts,
        matches,
        comparison.gt_class,
        comparison.is_crowd,
        len(comparison.class_ids),
    )
    has_scores = parts.has_parts & (matches.pred_of_gt > 0)
    is_label = overlaps.is_label & has_scores[:, :, None]
    ious = overlaps.intersection[is_label].double() / overlaps.union[is_label].double()
    for (image, segment, label), iou in zip(is_label.nonzero().tolist(), ious.tolist()):
        tables[image].setdefault(segment, {})[label] = iou
    return tables


def _taken_for(
    segment: Tensor, other: Tensor, pixels: Tensor, classes: Tensor, other_class: Tensor
) -> tuple[Tensor, Tensor]:
    """Class of the largest overlap, negative for void, and its share, for each segment of a map.

    `segment`, `other` and `pixels` `(N,)` are pairs with the segments of the other map, `classes`
    and `other_class` `(B, S)` and `(B, O)` the classes of both; so are the results `(B, S)`.
    """
    areas = area_sums(segment, pixels, classes)
    largest = torch.zeros_like(areas).flatten().scatter_reduce_(0, segment, pixels, "amax")
    is_largest = (pixels == largest[segment]) & (pixels > 0)
    first = torch.full_like(largest, other_class.numel())
    first.scatter_reduce_(0, segment[is_largest], other[is_largest], "amin")
    found = F.pad(other_class.flatten(), (0, 1), value=ABSENT)[first]
    return found.view_as(areas), largest.view_as(areas).double() / areas.clamp(min=1).double()

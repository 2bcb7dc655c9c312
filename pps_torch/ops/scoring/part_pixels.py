"""Pixels of a ground truth and a PPS prediction, counted by segments and parts for PartPQ."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.formats.uids import decode_uids, is_legal_uid
from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.given_runs import given_runs
from pps_torch.ops.counting.pair_counts import pair_counts
from pps_torch.ops.counting.pixel_runs import (
    PixelRuns,
    check_num_pixels,
    distinct_pixel_runs,
    pixel_runs,
)
from pps_torch.ops.scoring.contract import (
    NUM_PART_LABELS,
    OTHER_PART,
    OUTSIDE,
    SAME_PART,
    DenseIndices,
    PartPixels,
    PixelRules,
    SegmentMarks,
    SegmentPairs,
    is_predicted_void,
)
from pps_torch.ops.scoring.segment_pairs import list_pairs
from pps_torch.reserved import PPS_VOID, UNDEFINED_PART


def part_pixels(
    uids: Tensor,
    pps: Tensor,
    rules: PixelRules,
    *,
    lengths: Tensor | None = None,
    backend: str = "auto",
) -> PartPixels:
    """Read the pixels of a batch, so that they can be counted.

    First the segments that are present are marked, and numbered with `dense_indices`. Then the
    overlaps of the segments are counted, from which they match. Last the parts of the matched
    predictions are counted, by where the pixel lies. Each step goes over runs of equal pixels.

    Args:
        uids: `(B, P)`, any integer dtype: the ground truth.
        pps: `(B, 3, P)`, any integer dtype: scene class, instance and part.
        rules: what the ids mean.
        lengths: `(B, P)` int64, of maps of runs the pixels of each; None for maps of pixels. Torch
            counts runs on any backend.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton]; Triton for a capacity of
            which [`fits_table`][pps_torch.ops.scoring.contract.fits_table] says that it may.

    Returns:
        the pixels as runs. Those of the Triton version take 12 bytes of room a pixel, as each may
        be a run of its own; where runs are longer, most of that is never touched.

    Raises:
        ValueError: for images of 2**30 pixels or more.
    """
    check_num_pixels(uids)
    if lengths is None and uses_triton(backend, uids):
        from pps_torch.ops.scoring.triton import part_pixels as twin

        return twin.part_pixels(uids, pps, rules)
    maps = uids, *pps.unbind(1)
    if lengths is not None:
        runs = given_runs(lengths, *maps)
    elif is_on_host(uids):
        # So few that the operations of torch, which wait for each other's threads, use none.
        runs = distinct_pixel_runs(*maps)
    else:
        runs = pixel_runs(*maps)
    return PartRuns(runs, uids.shape, rules)


class PartRuns:
    """Runs of equal pixels, decoded once.

    The plain version of [`PartPixels`][pps_torch.ops.scoring.contract.PartPixels].

    Args:
        runs: of uids, scene classes, instances and parts.
        shape: `B, P`.
        rules: what the ids mean.
    """

    def __init__(self, runs: PixelRuns, shape: torch.Size, rules: PixelRules) -> None:
        self.shape = shape
        self.runs = runs
        gt_ids, *pred_ids = (values.long() for values in self.runs.maps)
        self.gt = _decode_gt(gt_ids, rules)
        self.pred = _decode_pred(*pred_ids, rules=rules)
        self.num_keys = rules.num_keys()
        self.num_labels = NUM_PART_LABELS
        if is_on_host(gt_ids):
            self._narrow_labels()

    def mark(self) -> SegmentMarks:
        """Mark the segments that are present."""
        gt, pred = self.gt, self.pred
        num_gt_keys, num_pred_keys = self.num_keys
        is_labelled = self._marked(gt.key * (gt.part != UNDEFINED_PART), num_gt_keys)
        is_labelled[:, 0] = False
        faults = (gt.is_illegal, gt.is_too_high, pred.is_outside, pred.is_bad_part)
        return SegmentMarks(
            gt=self._marked(gt.key, num_gt_keys),
            pred=self._marked(pred.key, num_pred_keys),
            is_labelled=is_labelled,
            faults=torch.stack([self.num_pixels(fault) for fault in faults]),
            num_unknown=torch.stack(
                [self.num_pixels(gt.is_unknown), self.num_pixels(pred.is_unknown)]
            ),
        )

    def index(self, gt: DenseIndices, pred: DenseIndices) -> IndexedRuns:
        """Look up the two segments of each run."""
        return IndexedRuns(self, gt, pred)

    def look_up(self, table: Tensor, column: Tensor) -> Tensor:
        """Values of each run in the row of its image of a table `(B, N)`, int64."""
        slot = self.runs.image * table.shape[1] + column
        return table.flatten().index_select(0, slot).long()

    def _narrow_labels(self) -> None:
        """Leave no more labels than there are, so that tables of many segments stay small."""
        maps = self.gt.part, self.pred.part
        highest = [int((part * (part < PPS_VOID)).max()) if len(part) else 0 for part in maps]
        void = max(highest) + 1
        gt_part, pred_part = (torch.where(part == PPS_VOID, void, part) for part in maps)
        self.gt, self.pred = self.gt._replace(part=gt_part), self.pred._replace(part=pred_part)
        self.num_labels = void + 1

    def num_pixels(self, is_counted: Tensor) -> Tensor:
        """Pixels of the runs that are counted, a scalar."""
        return (is_counted * self.runs.lengths).sum()

    def _marked(self, key: Tensor, num_keys: int) -> Tensor:
        """`(B, num_keys)` bool, true where a key is present."""
        marks = key.new_zeros(self.shape[0], num_keys, dtype=torch.bool)
        marks.view(-1).index_fill_(0, self.runs.image * num_keys + key, True)
        return marks


class IndexedRuns:
    """Runs whose segments have numbers.

    The plain version of [`IndexedPixels`][pps_torch.ops.scoring.contract.IndexedPixels].
    """

    def __init__(self, pixels: PartRuns, gt: DenseIndices, pred: DenseIndices) -> None:
        self.pixels = pixels
        self.num_gt, self.num_pred = gt.keys.shape[1], pred.keys.shape[1]
        self.gt = pixels.look_up(gt.index, pixels.gt.key)
        self.pred = pixels.look_up(pred.index, pixels.pred.key)

    def count_overlaps(self) -> tuple[SegmentPairs, Tensor]:
        """Count the pixels of each pair of segments, and of each ground-truth part."""
        runs, num_images = self.pixels.runs, self.pixels.shape[0]
        shape = num_images, self.num_gt, self.num_pred
        pairs = list_pairs(runs.image, self.gt, self.pred, runs.lengths, shape)
        sizes = self.num_gt, self.pixels.num_labels, num_images
        gt_parts = pair_counts(runs, self.gt, self.pixels.gt.part, *sizes)
        return pairs, gt_parts.int()

    def count_parts(self, gt_of_pred: Tensor, gt_class: Tensor, is_crowd: Tensor) -> Tensor:
        """Count the parts of matched predictions, where they are evaluated."""
        pixels = self.pixels
        gt_part, pred_part = pixels.gt.part, pixels.pred.part
        match = pixels.look_up(gt_of_pred, self.pred)
        is_inside = match == self.gt
        is_undefined = is_inside & (gt_part == UNDEFINED_PART)
        same_class = pixels.look_up(gt_class, self.gt) == pixels.look_up(gt_class, match)
        on_crowd = same_class & pixels.look_up(is_crowd, self.gt).bool()
        is_counted = (match > 0) & (self.gt > 0) & ~on_crowd & ~is_undefined & pixels.pred.has_parts
        place = torch.where(gt_part == pred_part, SAME_PART, OTHER_PART)
        place = torch.where(is_inside, place, OUTSIDE)
        part = place * pixels.num_labels + pred_part
        maps, image, lengths, is_collapsed = pixels.runs
        counted = PixelRuns(maps, image, lengths * is_counted, is_collapsed)
        num_columns, num_images = 3 * pixels.num_labels, pixels.shape[0]
        counts = pair_counts(counted, self.pred, part, self.num_pred, num_columns, num_images)
        return counts.int().view(*gt_of_pred.shape, 3, pixels.num_labels)

    def maps(self) -> tuple[Tensor, Tensor]:
        """Segments of each pixel, of the ground truth and of the prediction: `(B, P)` int32."""
        gt, pred = (self.pixels.runs.expand(segment.int()) for segment in (self.gt, self.pred))
        return gt.view(self.pixels.shape), pred.view(self.pixels.shape)


class _GtRuns(NamedTuple):
    """Meaning of the ground truth, `(R,)` each."""

    key: Tensor
    part: Tensor
    is_illegal: Tensor
    is_too_high: Tensor
    is_unknown: Tensor


class _PredRuns(NamedTuple):
    """Meaning of the prediction, `(R,)` each."""

    key: Tensor
    part: Tensor
    has_parts: Tensor
    is_outside: Tensor
    is_unknown: Tensor
    is_bad_part: Tensor


def _decode_gt(uids: Tensor, rules: PixelRules) -> _GtRuns:
    tables, capacity = rules.tables, rules.capacity
    is_legal = is_legal_uid(uids)
    sids, iids, pids = decode_uids(torch.where(is_legal, uids, 0), validate=False)
    unknown_sid = len(tables.group_of_sid) - 1
    sids = sids.clamp(max=unknown_sid)
    group = tables.group_of_sid.index_select(0, sids)
    has_group = group >= 0
    is_thing = tables.is_thing_group.index_select(0, group.clamp(min=0))
    is_crowd = (iids < 0) & is_thing
    is_too_high = has_group & (iids > capacity)
    slot = iids.clamp(min=0) + is_crowd * (capacity + 1)
    key = 1 + group * (capacity + 2) + slot
    part = sids * tables.part_of_sid_pid.shape[1] + pids + 1
    return _GtRuns(
        key=key * (has_group & ~is_too_high),
        part=tables.part_of_sid_pid.flatten().index_select(0, part),
        is_illegal=~is_legal,
        is_too_high=is_too_high,
        is_unknown=is_legal & (sids == unknown_sid),
    )


def _decode_pred(sids: Tensor, iids: Tensor, parts: Tensor, *, rules: PixelRules) -> _PredRuns:
    tables, capacity = rules.tables, rules.capacity
    last = len(tables.class_of_eval_sid) - 1
    row = torch.where(sids < 0, last, sids).clamp_(max=last)
    class_index = tables.class_of_eval_sid.index_select(0, row)
    has_class = class_index >= 0
    is_outside = has_class & ((iids < 0) | (iids > capacity))
    key = 1 + class_index * (capacity + 2) + iids
    has_parts = has_class & tables.has_parts_class.index_select(0, class_index.clamp(min=0))
    is_byte = (parts >= 0) & (parts < NUM_PART_LABELS)
    is_void_part = parts == rules.ignore_label
    parts = torch.where(is_void_part | ~is_byte, PPS_VOID, parts)
    return _PredRuns(
        key=key * (has_class & ~is_outside),
        part=parts * has_parts,
        has_parts=has_parts,
        is_outside=is_outside,
        is_unknown=~has_class & ~is_predicted_void(sids, rules.ignore_label),
        is_bad_part=has_parts & ~is_void_part & ~is_byte,
    )

"""Sliced, transposed and expanded inputs: both versions of each operation read them as they are."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import pps_torch.ops
from pps_torch import EvalSpec, PartPanopticQuality
from pps_torch.ops.counting.joint_counts import joint_counts
from pps_torch.ops.painting.add_stuff import add_stuff
from pps_torch.ops.painting.center_instances import center_instances
from pps_torch.ops.painting.greedy_boxes import greedy_boxes
from pps_torch.ops.painting.greedy_masks import greedy_masks
from pps_torch.ops.painting.merge_boxes import merge_boxes
from pps_torch.ops.painting.merge_masks import merge_masks
from pps_torch.ops.painting.pps_channels import pps_channels
from pps_torch.ops.painting.query_segments import query_segments
from pps_torch.ops.painting.rank_instances import rank_instances
from pps_torch.ops.painting.upsampled_ids import upsampled_ids
from pps_torch.ops.scoring.class_sums import add_to_class_sums
from pps_torch.ops.scoring.contract import (
    DenseIndices,
    PixelTables,
    SegmentMatches,
)
from pps_torch.ops.scoring.count_part_segments import count_part_segments
from pps_torch.ops.scoring.count_segments import count_segments
from pps_torch.ops.scoring.dense_indices import dense_indices
from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.mean_part_iou import mean_part_iou
from pps_torch.ops.scoring.part_pixels import part_pixels
from pps_torch.ops.scoring.segment_classes import count_unclassed, segment_classes
from pps_torch.ops.scoring.segment_pairs import pairs_of_table
from tests.factories import pps_pair
from tests.ops.twins import expect_equal, on_device

BACKENDS = ("torch", "triton")
LAYOUTS = {
    "packed": lambda t: t.contiguous(),
    "sliced": lambda t: torch.stack([t, t], -1)[..., 0],
    "transposed": lambda t: t.mT.contiguous().mT if t.ndim > 1 else t,
    "expanded": lambda t: t[:1].expand_as(t) if t.ndim > 1 else t,
}
RNG = np.random.default_rng(0)
SPEC = EvalSpec.load("cpp_default")
RULES = PartPanopticQuality(SPEC, capacity=9).pixel_rules()
PAIRS = [pps_pair(np.random.default_rng(seed), (5, 7), SPEC) for seed in (0, 1)]
PPS, UIDS = (torch.from_numpy(np.stack(maps)).flatten(-2) for maps in zip(*PAIRS))


def integers(low, high, *shape):
    return torch.from_numpy(RNG.integers(low, high, shape))


def fractions(*shape):
    return torch.from_numpy(RNG.random(shape))


def flags(*shape):
    return fractions(*shape) < 0.7


def ranks(num_images, num_masks):
    return fractions(num_images, num_masks).argsort(1)


def matches_of(pred_of_gt, iou, is_fn, is_fp, gt_area):
    return SegmentMatches(pred_of_gt, pred_of_gt, iou, is_fn, is_fp, gt_area, gt_area)


def class_sums(pred_of_gt, iou, is_fn, is_fp, gt_class, pred_class, *, backend):
    sums = gt_class.new_zeros(3, 5)
    matches = matches_of(pred_of_gt, iou, is_fn, is_fp, gt_class)
    add_to_class_sums(sums, matches, iou, gt_class, pred_class, backend=backend)
    return sums


def mean_of_matches(gt_parts, pred_parts, pred_of_gt, iou, gt_area, *gt_columns, backend):
    matches = matches_of(pred_of_gt, iou, pred_of_gt, pred_of_gt, gt_area)
    tables = gt_parts, pred_parts, matches, *gt_columns
    return mean_part_iou(*tables, num_classes=3, backend=backend)


def matched_table(joint, *columns, backend):
    return match_segments(pairs_of_table(joint), *columns, backend=backend)


def counted_segments(*images, backend):
    sums, faults = (images[0].new_zeros(shape, dtype=torch.int64) for shape in ((3, 5), 4))
    count_segments(sums, faults, *images, backend=backend)
    return sums, faults


def counted_part_segments(uids, pps, *tables, backend):
    rules = RULES._replace(tables=PixelTables(*tables))
    shapes = (len(rules.tables.has_parts_class), 5), 6, (), ()
    sums = [uids.new_zeros(shape, dtype=torch.int64) for shape in shapes]
    count_part_segments(*sums, uids, pps, rules, backend=backend)
    return tuple(sums)


def part_passes(uids, pps, gt_index, pred_index, *columns_and_tables, backend):
    *columns, tables = *columns_and_tables[:3], columns_and_tables[3:]
    gt_of_pred = columns[0]
    rules = RULES._replace(tables=PixelTables(*tables))
    pixels = part_pixels(uids, pps, rules, backend=backend)
    keys, num_dropped = torch.zeros_like(gt_of_pred), gt_of_pred.sum()  # seven segments each
    gt, pred = (DenseIndices(index, keys, num_dropped) for index in (gt_index, pred_index))
    segments = pixels.index(gt, pred)
    return *pixels.mark(), *segments.count_overlaps(), segments.count_parts(*columns)


MERGE = {"score_threshold": 0.3, "overlap_threshold": 0.6, "stuff_area_limit": 2}

#: Each operation with a Triton version -> how it is called, and small inputs.
CASES = {
    "add_stuff": (
        partial(add_stuff, stuff_area_limit=2),
        (integers(0, 3, 2, 4, 5).int(), torch.ones(2, 2).bool(), ranks(2, 2), fractions(2, 2))
        + (integers(0, 9, 2, 2), integers(6, 9, 2, 4, 5), torch.tensor([8, 6])),
    ),
    "center_instances": (
        partial(center_instances, center_threshold=0.1, nms_kernel=3, top_k=5),
        (fractions(2, 3, 4, 5).float(), fractions(2, 4, 5).float(), fractions(2, 2, 4, 5).float())
        + (torch.tensor([2, 0]),),
    ),
    "class_sums": (
        class_sums,
        (integers(0, 2, 2, 6), fractions(2, 6), flags(2, 6), flags(2, 4))
        + (integers(0, 3, 2, 6), integers(0, 3, 2, 4)),
    ),
    "count_part_segments": (counted_part_segments, (UIDS, PPS, *RULES.tables)),
    "count_segments": (
        counted_segments,
        (integers(0, 4, 2, 30), integers(0, 3, 2, 30), integers(-1, 9, 2, 3), integers(-1, 9, 2, 4))
        + (flags(2, 3), torch.tensor([3, 5, 7])),
    ),
    "dense_indices": (dense_indices, (flags(3, 9), 5)),
    "greedy_boxes": (
        partial(greedy_boxes, mask_threshold=0.5, overlap_threshold=0.6),
        (fractions(2, 4, 5, 5).float(), torch.tensor([[1.0, 2, 9, 8]]).repeat(2, 4, 1))
        + (ranks(2, 4), torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]]).bool(), (10, 12)),
    ),
    "greedy_masks": (
        partial(greedy_masks, overlap_threshold=0.6),
        (flags(2, 4, 30), ranks(2, 4), flags(2, 4)),
    ),
    "joint_counts": (joint_counts, (integers(0, 4, 2, 30), integers(0, 3, 2, 30), 4, 3)),
    "match_segments": (
        matched_table,
        (integers(0, 2, 2, 5, 5) + 90 * torch.eye(5).long(), integers(0, 2, 2, 5))
        + (integers(0, 2, 2, 5), flags(2, 5)),
    ),
    "merge_boxes": (
        partial(merge_boxes, mask_threshold=0.5, **MERGE),
        (fractions(2, 4, 5, 5).float(), torch.tensor([[1.0, 2, 9, 8]]).repeat(2, 4, 1))
        + (fractions(2, 4), integers(0, 9, 2, 4), integers(6, 9, 2, 10, 12), torch.tensor([8, 6])),
    ),
    "merge_masks": (
        partial(merge_masks, **MERGE),
        (flags(2, 4, 5, 6), fractions(2, 4), integers(0, 9, 2, 4), integers(6, 9, 2, 5, 6))
        + (torch.tensor([8, 6]),),
    ),
    "mean_part_iou": (
        mean_of_matches,
        (integers(0, 9, 2, 4, 256).int(), integers(0, 3, 2, 5, 3, 256).int())
        + (integers(0, 5, 2, 4), fractions(2, 4), integers(9000, 9999, 2, 4))
        + (integers(0, 2, 2, 4), ~flags(2, 4), flags(2, 4)),
    ),
    "part_pixels": (
        part_passes,
        (UIDS, PPS, *(integers(0, 7, 2, size).int() for size in RULES.num_keys()))
        + (integers(0, 4, 2, 7), integers(-1, 3, 2, 7), flags(2, 7), *RULES.tables),
    ),
    "pps_channels": (
        partial(pps_channels, ignore_label=255),
        (integers(0, 4, 2, 4, 5), integers(0, 6, 2, 4, 5), integers(-1, 4, 2, 4))
        + (integers(0, 99, 5, 7),),
    ),
    "query_segments": (
        partial(query_segments, num_classes=3, object_mask_threshold=0.2, min_kept_fraction=0.3),
        (9 * fractions(2, 4, 5, 6).float() - 4, fractions(2, 4).float(), integers(0, 4, 2, 4))
        + (torch.tensor([1, 0]), (5, 6)),
    ),
    "segment_classes": (segment_classes, (integers(-1, 9, 2, 6), torch.tensor([3, 5, 7]))),
    "count_unclassed": (count_unclassed, (integers(-3, 3, 2, 6), integers(0, 9, 2, 6))),
    "rank_instances": (
        partial(rank_instances, score_threshold=0.5),
        (fractions(2, 9), integers(-1, 4, 2, 9)),
    ),
    "upsampled_ids": (
        upsampled_ids,
        (fractions(2, 4, 3, 4).float(), torch.tensor([7, 8, 9, 3]), (6, 7)),
    ),
}


def laid_out(layout, arguments):
    return [
        LAYOUTS[layout](value) if isinstance(value, torch.Tensor) else value for value in arguments
    ]


#: These launch what others launch too.
OF_OTHERS = ("merge_boxes", "merge_masks")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.slow] if c in OF_OTHERS else []) for c in CASES]
)
def test_the_layout_does_not_matter(case, backend):
    operation, arguments = CASES[case]
    arguments = on_device(arguments)
    expected = operation(*laid_out("packed", arguments), backend=backend)
    for layout in ("sliced", "transposed"):
        expect_equal(operation(*laid_out(layout, arguments), backend=backend), expected)
    expanded = laid_out("expanded", arguments)  # other values: those of the first image
    expected = operation(*laid_out("packed", expanded), backend=backend)
    expect_equal(operation(*expanded, backend=backend), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_are_added_where_they_are(backend):
    _, (pred_of_gt, iou, is_fn, is_fp, *classes) = CASES["class_sums"]
    inputs = (matches_of(pred_of_gt, iou, is_fn, is_fp, classes[0]), iou, *classes)
    expected = torch.ones(3, 5, dtype=torch.int64)
    add_to_class_sums(expected, *inputs, backend="torch")
    for layout in ("sliced", "transposed"):
        sums = LAYOUTS[layout](on_device(torch.ones(3, 5, dtype=torch.int64)))
        add_to_class_sums(sums, *on_device(inputs), backend=backend)
        assert not sums.is_contiguous() and torch.equal(sums.cpu(), expected)


def test_no_operation_is_missing():
    files = Path(pps_torch.ops.__file__).parent.glob("*/triton/*.py")
    registered = {file.stem for file in files if re.search(r"@direct_operator\(", file.read_text())}
    assert registered == CASES.keys() - {"count_unclassed"}

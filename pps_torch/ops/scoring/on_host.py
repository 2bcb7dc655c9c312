"""Matching and counting of segments on the CPU, in NumPy.

An image has some dozens of segments, so what counts is the number of calls, and one of NumPy takes
a third of the time of one of torch. Areas are float64 here, which holds them exactly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pps_torch.ops.counting.pixel_runs import check_num_pixels
from pps_torch.ops.scoring.contract import (
    LIMB_BITS,
    UNKNOWN,
    UNUSED,
    VOID,
    SegmentMatches,
    SegmentPairs,
)
from pps_torch.ops.scoring.segment_pairs import pairs_on_host

Array = npt.NDArray[Any]


class _Matches(NamedTuple):
    """What became of the segments of a batch; those of a map are flat, `(B * G,)` and `(B * P,)`.

    `match` are the places of the pairs that match, `iou` is theirs.
    """

    match: Array
    iou: Array
    is_fn: Array
    is_fp: Array
    gt_area: Array
    pred_area: Array


def count_on_host(
    class_sums: Tensor,
    faults: Tensor,
    gt_map: Tensor,
    pred_map: Tensor,
    gt_categories: Tensor,
    pred_categories: Tensor,
    is_crowd: Tensor,
    class_ids: Tensor,
    last_crowd_only: bool,
    lengths: Tensor | None = None,
) -> None:
    """See [`count_segments`][pps_torch.ops.scoring.count_segments.count_segments]."""
    categories = gt_categories.numpy(), pred_categories.numpy()
    gt_table, pred_table = classes_on_host(class_ids.numpy(), *categories)
    crowds = np.zeros(gt_table.shape, bool)
    crowds[:, 1:-1] = is_crowd.numpy()
    num_gt, num_pred = gt_table.shape[1], pred_table.shape[1]
    check_num_pixels(gt_map)
    runs = None if lengths is None else lengths.numpy()
    pairs = pairs_on_host(gt_map.numpy(), pred_map.numpy(), runs, num_gt, num_pred)
    gt_class, pred_class = gt_table.reshape(-1), pred_table.reshape(-1)
    found = _match(pairs, gt_class, pred_class, crowds.reshape(-1), num_gt, last_crowd_only)
    tp_class = gt_class[pairs[0][found.match]]
    _add(class_sums.numpy(), tp_class, found.iou, pred_class[found.is_fp], gt_class[found.is_fn])
    tables = (pred_class, found.pred_area), (gt_class, found.gt_area)
    unused = [int(area.dot(classes == UNUSED)) for classes, area in tables]
    unknown = [np.count_nonzero(classes == UNKNOWN) for classes, _ in tables]
    if any(unused) or any(unknown):
        faults.numpy()[:] += [*unused, *unknown]


def match_on_host(
    pairs: SegmentPairs,
    gt_class: Tensor,
    pred_class: Tensor,
    is_crowd: Tensor,
    last_crowd_only: bool,
) -> SegmentMatches:
    """See [`match_segments`][pps_torch.ops.scoring.match_segments.match_segments]."""
    num_gt, num_pred = gt_class.shape[1], pred_class.shape[1]
    classes = gt_class.numpy().reshape(-1), pred_class.numpy().reshape(-1)
    columns = pairs.gt.numpy(), pairs.pred.numpy(), pairs.pixels.numpy()
    found = _match(columns, *classes, is_crowd.numpy().reshape(-1), num_gt, last_crowd_only)
    gt, pred = (places[found.match] for places in columns[:2])
    iou, pred_of_gt = np.zeros(gt_class.numel()), np.zeros(gt_class.numel(), np.int64)
    gt_of_pred = np.zeros(pred_class.numel(), np.int64)
    iou[gt], pred_of_gt[gt] = found.iou, pred % max(num_pred, 1)
    gt_of_pred[pred] = gt % max(num_gt, 1)
    return SegmentMatches(
        pred_of_gt=torch.from_numpy(pred_of_gt).view(gt_class.shape),
        gt_of_pred=torch.from_numpy(gt_of_pred).view(pred_class.shape),
        iou=torch.from_numpy(iou).view(gt_class.shape),
        is_fn=torch.from_numpy(found.is_fn).view(gt_class.shape),
        is_fp=torch.from_numpy(found.is_fp).view(pred_class.shape),
        gt_area=torch.from_numpy(found.gt_area.astype(np.int64)).view(gt_class.shape),
        pred_area=torch.from_numpy(found.pred_area.astype(np.int64)).view(pred_class.shape),
    )


def add_on_host(
    class_sums: Tensor,
    matches: SegmentMatches,
    scores: Tensor,
    gt_class: Tensor,
    pred_class: Tensor,
) -> None:
    """See [`add_to_class_sums`][pps_torch.ops.scoring.class_sums.add_to_class_sums]."""
    gt_classes, pred_classes = gt_class.numpy(), pred_class.numpy()
    is_tp = (matches.pred_of_gt.numpy() > 0) & (gt_classes >= 0)
    fp_class = pred_classes[matches.is_fp.numpy() & (pred_classes >= 0)]
    fn_class = gt_classes[matches.is_fn.numpy() & (gt_classes >= 0)]
    _add(class_sums.numpy(), gt_classes[is_tp], scores.numpy()[is_tp], fp_class, fn_class)


def classes_on_host(class_ids: Array, *category_ids: Array) -> list[Array]:
    """See [`segment_classes`][pps_torch.ops.scoring.segment_classes.segment_classes].

    Several tables, one for each map, are looked up as one.
    """
    flat = np.concatenate([ids.reshape(-1) for ids in category_ids])
    found = np.where(flat < 0, UNUSED, UNKNOWN)
    if len(class_ids):
        order = class_ids.argsort()
        index = order.take(class_ids.searchsorted(flat, sorter=order), mode="clip")
        found = np.where(class_ids.take(index) == flat, index, found)
    tables: list[Array] = []
    first = 0
    for ids in category_ids:
        classes = np.full((len(ids), ids.shape[1] + 2), UNUSED, np.int64)
        classes[:, 0] = VOID
        classes[:, 1:-1] = found[first : first + ids.size].reshape(ids.shape)
        tables.append(classes)
        first += ids.size
    return tables


def _match(
    pairs: tuple[Array, Array, Array],
    gt_class: Array,
    pred_class: Array,
    crowds: Array,
    num_gt: int,
    last_crowd_only: bool,
) -> _Matches:
    """Match the segments of flat tables, with `num_gt` of the ground truth in each image."""
    gt, pred, pixels = pairs
    num_crowds, absorbs = np.count_nonzero(crowds), crowds
    if last_crowd_only and num_crowds > 1:
        absorbs = _last_of_class(crowds, gt_class, num_gt)

    # Areas, and of each prediction what lies on void and on crowds of its class.
    class_of_gt = gt_class[gt]
    same_class = (class_of_gt == pred_class[pred]) & (class_of_gt >= 0)
    gt_area = np.bincount(gt, pixels, len(gt_class))
    pred_area = np.bincount(pred, pixels, len(pred_class))
    off_void = np.bincount(pred, pixels * (gt % max(num_gt, 1) > 0), len(pred_class))
    absorbed = pred_area - off_void
    if num_crowds:
        absorbed += np.bincount(pred, pixels * (same_class & absorbs[gt]), len(pred_class))

    # Matches, and what is left without one.
    union = gt_area[gt] + off_void[pred] - pixels
    (match,) = (same_class & ~crowds[gt] & (2 * pixels > union)).nonzero()
    is_fn = (gt_class >= 0) & (gt_area > 0) & ~crowds
    is_fn[gt[match]] = False
    is_fp = (pred_class >= 0) & (pred_area > 0) & (2 * absorbed <= pred_area)
    is_fp[pred[match]] = False
    return _Matches(match, pixels[match] / union[match], is_fn, is_fp, gt_area, pred_area)


def _last_of_class(crowds: Array, classes: Array, num_gt: int) -> Array:
    """The last crowd of each class of an image, `(B * G,)` bool like `crowds`."""
    (places,) = crowds.nonzero()
    keys = zip((places // num_gt).tolist(), classes[places].tolist())
    last = dict(zip(keys, places.tolist()))  # a later one wins
    is_last = np.zeros(crowds.shape, bool)
    is_last[[*last.values()]] = True
    return is_last


def _add(class_sums: Array, tp_class: Array, iou: Array, fp_class: Array, fn_class: Array) -> None:
    """Add matches by their class and IoU, and what has none by its class."""
    scaled = (iou * 2.0 ** (2 * LIMB_BITS)).astype(np.int64)
    np.add.at(class_sums[:, 0], tp_class, scaled >> LIMB_BITS)
    np.add.at(class_sums[:, 1], tp_class, scaled & ((1 << LIMB_BITS) - 1))
    for column, classes in ((2, tp_class), (3, fp_class), (4, fn_class)):
        np.add.at(class_sums[:, column], classes, 1)

"""Slow reference for PartPQ: one boolean mask per segment, one IoU per part label.

The rules are those of panoptic_parts 2.0, with four differences:
  every all-crowd ground-truth segment is left out; the reference leaves out the first of a class,
  dataset ids may map to any evaluation ids; the reference takes scene classes to be the same,
  a part that the spec ignores or does not list is undefined; the reference keeps its number,
  explicit part 0 works with every spec; the reference stops on it with PASCAL.
"""

from __future__ import annotations

import numpy as np

from tests.oracles.uids import ABSENT, decode_uid

UNKNOWN_PART = 255


def eval_part(spec, sid: int, pid: int) -> int:
    """Evaluation part id of a dataset (sid, pid); 0 is undefined."""
    pid = spec.dataset.countable_pids.get((sid, pid), pid)
    mapping = spec.dataset_sid_pid_to_eval_sid_pid
    if pid == 0 and (sid, 0) not in mapping:
        pid = ABSENT
    return mapping.get((sid, pid), (0, 0))[1]


def read_ground_truth(uids: np.ndarray, spec):
    """Void mask, {class: crowd mask}, {class: {key: segment mask}}, map of evaluation parts."""
    void = np.zeros(uids.shape, bool)
    parts = np.zeros(uids.shape, np.int64)
    crowds = {c: np.zeros(uids.shape, bool) for c in spec.scene_labels}
    segments = {c: {} for c in spec.scene_labels}
    for uid in np.unique(uids).tolist():
        pixels = uids == uid
        sid, iid, pid = decode_uid(uid)
        category = spec.dataset_sid_to_eval_sid.get(sid)
        if category is None:
            void |= pixels
            continue
        if category in spec.parts:
            parts[pixels] = eval_part(spec, sid, pid)
        if category in spec.things and iid == ABSENT:
            crowds[category] |= pixels
            continue
        key = (sid, iid) if category in spec.things else (category, max(iid, 0))
        segments[category][key] = segments[category].get(key, False) | pixels
    for category in spec.parts:
        for key, mask in list(segments[category].items()):
            if not parts[mask].any():
                crowds[category] |= segments[category].pop(key)
    return void, crowds, segments, parts


def read_prediction(pps: np.ndarray, category: int) -> list[np.ndarray]:
    """Masks of the predicted segments of a class, one per instance number."""
    sids, iids = pps[0], pps[1]
    return [(sids == category) & (iids == iid) for iid in np.unique(iids[sids == category])]


def mean_part_iou(gt_parts: np.ndarray, pred_parts: np.ndarray, unknown: set[int]) -> float:
    """Mean IoU over the labels of either map, background 0 included, unknown ones left out."""
    labels = (set(gt_parts.tolist()) | set(pred_parts.tolist())) - unknown
    ious = []
    for label in sorted(labels):
        a, b = gt_parts == label, pred_parts == label
        ious.append(np.sum(a & b) / np.sum(a | b))
    return float(np.mean(ious))


def part_panoptic_quality(pps: np.ndarray, uids: np.ndarray, spec) -> dict[int, list]:
    """{eval sid: [iou sum, tp, fp, fn]} of one image: pps (3, H, W), uids (H, W)."""
    pps = pps.astype(np.int64)
    unknown = {UNKNOWN_PART, spec.ignore_label}
    void, crowds, segments, parts = read_ground_truth(uids, spec)
    stats = {}
    for category in spec.scene_labels:
        iou_sum, tp, fp = 0.0, 0, 0
        excused = void | crowds[category]
        unmatched = read_prediction(pps, category)
        for gt_mask in segments[category].values():
            for i, pred_mask in enumerate(unmatched):
                union = np.sum((gt_mask | pred_mask) & ~(pred_mask & void))
                iou = np.sum(gt_mask & pred_mask) / union
                if iou <= 0.5:
                    continue
                if category in spec.parts:
                    evaluated = ~excused & ~(gt_mask & (parts == 0))
                    gt_parts = np.where(gt_mask, parts, 0)[evaluated]
                    pred_parts = np.where(pred_mask, pps[2], 0)[evaluated]
                    iou = mean_part_iou(gt_parts, pred_parts, unknown)
                iou_sum, tp = iou_sum + iou, tp + 1
                del unmatched[i]
                break
        for pred_mask in unmatched:
            fp += int(np.sum(pred_mask & excused) / np.sum(pred_mask) <= 0.5)
        stats[category] = [float(iou_sum), tp, fp, len(segments[category]) - tp]
    return stats

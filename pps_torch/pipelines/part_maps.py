"""The ground truth and the PPS map of an image, as files hold them: what PartPQ counts of them."""

from __future__ import annotations

import numpy as np

from pps_torch.formats.rgb_ids import id_colors
from pps_torch.io.image_runs import distinct_ids
from pps_torch.metrics import PartPanopticQuality
from pps_torch.metrics.part_panoptic_quality import highest_capacity
from pps_torch.specs import EvalSpec

#: Every class has a mark for each instance id up to the capacity, so ids of 32 bits are too high.
_HIGHEST_INSTANCE = 65_535

#: What the three digits of a uid hold.
_HIGHEST_UID_INSTANCE = 999


def distinct_values(uids: np.ndarray, pps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List what lies in the same pixels of both maps of an image, each combination once.

    Args:
        uids: the ground truth, `(H, W)`.
        pps: the prediction, `(H, W, 3)`.

    Returns:
        the uids `(V,)`, the PPS ids `(V, 3)`, and how many pixels have both, `(V,)` int64.
    """
    if pps.dtype == np.uint8:
        (uids, colors), pixels = distinct_ids(uids, pps)
        return uids, id_colors(colors), pixels
    (uids, *channels), pixels = distinct_ids(uids, *np.moveaxis(pps, 2, 0))
    return uids, np.stack(channels, 1), pixels


def needed_capacity(uids: np.ndarray, pps: np.ndarray, spec: EvalSpec) -> int:
    """Find a capacity of `PartPanopticQuality` that suffices for an image.

    Args:
        uids, pps: its pixels, see `distinct_values`.
        spec: names the classes whose segments count.

    Returns:
        a number that neither the segments of a map nor their instance ids exceed.

    Raises:
        ValueError: for an instance id above 65,535, or more segments than a metric has room for.
    """
    sids, iids, _ = pps[np.isin(pps[:, 0], spec.eval_sids)].T
    highest_instance = int(iids.max(initial=0))
    if highest_instance > _HIGHEST_INSTANCE:
        raise ValueError(
            f"pred: expected instance ids up to {_HIGHEST_INSTANCE}, found {highest_instance}; "
            "number the instances of each class and image from 1"
        )
    uids = uids.astype(np.int32)
    gt_segments = np.unique(np.where(uids > 99_999, uids // 100, uids))
    gt_sids = np.where(gt_segments > 99, gt_segments // 1000, gt_segments)
    num_segments = {
        "target": int(np.isin(gt_sids, [*spec.dataset_sid_to_eval_sid]).sum()),
        "pred": len(np.unique(sids.astype(np.int64) << 32 | iids)),
    }
    highest = highest_capacity(spec)
    for name, number in num_segments.items():
        if number > highest:
            raise ValueError(
                f"{name}: expected at most {highest} segments in an image, for a spec of "
                f"{len(spec.eval_sids)} classes, found {number}; pieces of the image have room, "
                "and a spec of fewer classes has more"
            )
    return max(*num_segments.values(), highest_instance, _HIGHEST_UID_INSTANCE)


def with_capacity(metric: PartPanopticQuality, capacity: int) -> PartPanopticQuality:
    """Find a metric by the same rules with room for as much; the given one where it has it.

    The given metric's `add` takes what the other compares: numbers depend on no capacity.
    """
    if capacity <= metric.capacity:
        return metric
    roomy = PartPanopticQuality(metric.spec, capacity=capacity, validate=metric.validate)
    return roomy.to(metric.class_sums.device)

"""The ground truth and the PPS map of an image, as files hold them: what PartPQ counts of them."""

from __future__ import annotations

import numpy as np

from pps_torch.formats.runs import distinct_runs
from pps_torch.io.image_runs import id_colors, image_runs
from pps_torch.metrics import PartPanopticQuality
from pps_torch.specs import EvalSpec

#: Every class has a mark for each instance id up to the capacity, so ids of 32 bits are too high.
_HIGHEST_INSTANCE = 65_535

#: What the three digits of a uid hold.
_HIGHEST_UID_INSTANCE = 999


def distinct_pixels(uids: np.ndarray, pps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List what lies in the same pixels of both maps of an image, each combination once.

    Args:
        uids: the ground truth, `(H, W)`.
        pps: the prediction, `(H, W, 3)`.

    Returns:
        the uids `(V,)`, the PPS ids `(V, 3)`, and how many pixels have both, `(V,)` int64.
    """
    if pps.dtype == np.uint8:
        (uids, colors), lengths = image_runs(uids, pps)
        channels = [*id_colors(colors).T]
    else:
        (uids, *channels), lengths = image_runs(uids, *np.moveaxis(pps, 2, 0))
    (uids, *channels), lengths = distinct_runs((uids, *channels), lengths)
    return uids, np.stack(channels, 1), lengths


def needed_capacity(uids: np.ndarray, pps: np.ndarray, spec: EvalSpec) -> int:
    """Find a capacity of `PartPanopticQuality` that suffices for an image.

    Args:
        uids, pps: its pixels, see `distinct_pixels`.
        spec: names the classes whose instances count.

    Returns:
        a number that neither the segments of a map nor their instance ids exceed.

    Raises:
        ValueError: for an instance id above 65,535.
    """
    sids, iids, _ = pps[np.isin(pps[:, 0], spec.eval_sids)].T
    highest_instance = int(iids.max(initial=0))
    if highest_instance > _HIGHEST_INSTANCE:
        raise ValueError(
            f"pred: expected instance ids up to {_HIGHEST_INSTANCE}, found {highest_instance}; "
            "number the instances of each class and image from 1"
        )
    gt_segments = np.where(uids > 99_999, uids // 100, uids)
    pred_segments = sids.astype(np.int64) << 32 | iids
    num_segments = [len(np.unique(ids)) for ids in (gt_segments, pred_segments)]
    return max(*num_segments, highest_instance, _HIGHEST_UID_INSTANCE)


def with_capacity(metric: PartPanopticQuality, capacity: int) -> PartPanopticQuality:
    """Find a metric by the same rules with room for as much; the given one where it has it.

    The given metric's `add` takes what the other compares: numbers depend on no capacity.
    """
    if capacity <= metric.capacity:
        return metric
    roomy = PartPanopticQuality(metric.spec, capacity=capacity, validate=metric.validate)
    return roomy.to(metric.class_sums.device)

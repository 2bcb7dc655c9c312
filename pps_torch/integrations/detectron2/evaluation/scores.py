"""Results of metrics in the form that Detectron2 reports: flat keys, per cent."""

from __future__ import annotations

from collections.abc import Mapping

from pps_torch.metrics import PartPanopticQualityResult
from pps_torch.pipelines.result_layout import panoptic_result
from pps_torch.specs import EvalSpec

_GROUP_SUFFIXES = {"All": "", "Things": "_th", "Stuff": "_st"}


def panoptic_scores(summary: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Convert the summary of a [`PanopticQualityResult`][pps_torch.PanopticQualityResult].

    Returns:
        `PQ, SQ, RQ, PQ_th, ..., RQ_st` in per cent.

    Example:
        >>> group = {"PQ": 0.5, "SQ": 1.0, "RQ": 0.5, "n": 1}
        >>> panoptic_scores({"All": group, "Things": group, "Stuff": group})["PQ_st"]
        50.0
    """
    return {
        key + suffix: 100 * summary[group][key]
        for group, suffix in _GROUP_SUFFIXES.items()
        for key in ("PQ", "SQ", "RQ")
    }


def part_scores(
    parts: PartPanopticQualityResult, whole: PartPanopticQualityResult, spec: EvalSpec
) -> dict[str, float]:
    """Convert the results of PartPQ and of PQ on the same maps.

    Args:
        parts: the result by `spec`.
        whole: the result by `spec.without_parts()`.
        spec: says which classes are things.

    Returns:
        `PartPQ, PartSQ, PartRQ`, the same with `_parts` and `_noparts`, and the keys of
        `panoptic_scores`; all in per cent.
    """
    scores = {
        key: 100 * value for key, value in parts.summary.items() if key not in ("n", "n_p", "n_np")
    }
    return {**scores, **panoptic_scores(panoptic_result(whole, spec).summary)}

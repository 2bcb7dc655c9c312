"""PQ in the form that Detectron2 and mmdetection report: flat keys, per cent."""

from __future__ import annotations

from collections.abc import Mapping

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

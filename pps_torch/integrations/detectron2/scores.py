"""The metrics' results as Detectron2 reports them: flat keys, per cent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pps_torch.metrics import PartPanopticQualityResult
from pps_torch.metrics.segment_metric import ClassCounts, mean_qualities
from pps_torch.specs import EvalSpec

_GROUP_SUFFIXES = {"All": "", "Things": "_th", "Stuff": "_st"}


def panoptic_scores(summary: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """``PQ, SQ, RQ, PQ_th, ..., RQ_st`` of a :class:`~pps_torch.PanopticQualityResult`'s summary.

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
    """PartPQ and PQ of the same maps.

    Args:
        parts: by ``spec``.
        whole: by ``whole_segments(spec)``.
        spec: says which classes are things.

    Returns:
        ``PartPQ, PartSQ, PartRQ``, those with ``_parts`` and ``_noparts``, and the keys of
        :func:`panoptic_scores`.
    """
    scores = {
        key: 100 * value for key, value in parts.summary.items() if key not in ("n", "n_p", "n_np")
    }
    members = {"All": spec.eval_sids, "Things": spec.things, "Stuff": spec.stuff}
    summary = {
        group: _mean(whole.per_class[sid] for sid in spec.eval_sids if sid in sids)
        for group, sids in members.items()
    }
    return {**scores, **panoptic_scores(summary)}


def whole_segments(spec: EvalSpec) -> EvalSpec:
    """The same spec with no class that has parts: PartPQ by it is PQ.

    A match then counts with its mask IoU, and a segment without part labels is no crowd. The
    other rules of the two metrics are the same: see :class:`~pps_torch.PartPanopticQuality`.

    Example:
        >>> whole_segments(EvalSpec.load("cpp_default")).parts
        ()
    """
    no_parts = tuple(sid for sid in spec.eval_sids if sid in spec.parts or sid in spec.no_parts)
    return replace(spec, parts=(), no_parts=no_parts)


def _mean(rows: Any) -> dict[str, float]:
    counts = [ClassCounts(row["iou"], row["tp"], row["fp"], row["fn"]) for row in rows]
    return dict(zip(("PQ", "SQ", "RQ", "n"), mean_qualities(counts)))

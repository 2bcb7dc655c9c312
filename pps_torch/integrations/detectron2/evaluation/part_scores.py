"""Results of metrics in the form that Detectron2 reports: flat keys, per cent."""

from __future__ import annotations

from pps_torch.integrations.panoptic_scores import panoptic_scores
from pps_torch.metrics import PartPanopticQualityResult
from pps_torch.pipelines.result_layout import panoptic_result
from pps_torch.specs import EvalSpec


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

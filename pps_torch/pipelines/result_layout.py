"""The layout of all results in JSON: numbers of groups and classes, with ids, names and units."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from pps_torch.metrics import PanopticQualityResult, PartPanopticQualityResult
from pps_torch.metrics.confusion_matrix import ClassIoU
from pps_torch.metrics.panoptic_quality import PanopticClass
from pps_torch.metrics.results import Result, quality_fields, without_nan
from pps_torch.specs import EvalSpec
from pps_torch.version import __version__

#: Rises when a key changes its name or meaning; new keys may come without.
LAYOUT = 1

_FRACTION = "fraction 0..1"
_UNITS = {
    **dict.fromkeys(("tp", "fp", "fn", "gt_segments"), "segments"),
    **dict.fromkeys(("gt_pixels", "pred_pixels"), "pixels"),
    **dict.fromkeys(("unknown_pixels", "unknown_gt_pixels"), "pixels"),
    "n": "classes",
    "n_dagger": "classes",
    "iou_sum": "sum of fractions",
    "overlap_iou_sum": "sum of fractions",
}


def results_document(
    results: Mapping[str, Result],
    num_images: int,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The content of `<name>_results.json`; see the page on results.

    Args:
        results: by the name of the metric, that of the evaluation first.
        num_images: how many images were evaluated.
        settings: what a metric was set to, by its name: `rules`, `dilation_ratio`, `spec`; ready
            for JSON.

    Example:
        >>> import torch
        >>> from pps_torch import MeanIoU
        >>> metric = MeanIoU([{"id": 7, "name": "road", "isthing": 0}])
        >>> result = metric.update(torch.tensor([[7, 255]]), torch.tensor([[7, 7]])).compute()
        >>> document = results_document({"mIoU": result}, num_images=1)
        >>> document["metrics"]["mIoU"]["classes"][0]["iou"]
        0.5
        >>> document["metrics"]["mIoU"]["units"]["tp"]
        'pixels'
    """
    settings = settings or {}
    return {
        "layout": LAYOUT,
        "pps_torch": __version__,
        "num_images": num_images,
        "metrics": {
            name: {
                "value": without_nan({"value": result.value})["value"],
                **settings.get(name, {}),
                **_numbers(result),
            }
            for name, result in results.items()
        },
    }


def panoptic_result(whole: PartPanopticQualityResult, spec: EvalSpec) -> PanopticQualityResult:
    """PQ beside PartPQ as a result of PQ, with things and stuff; its rules are `panoptic_parts`.

    Args:
        whole: the result by `spec.without_parts()`.
        spec: says which classes are things.
    """
    return PanopticQualityResult.of_classes(
        {
            sid: PanopticClass(c.name, is_thing=sid in spec.things, **quality_fields(c.counts))
            for sid, c in whole.classes.items()
        }
    )


def spec_settings(spec: EvalSpec, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The settings of an evaluation by a spec, for the metrics of these names."""
    of_all = {"spec": {"name": spec.name, "version": spec.version}}
    return {
        name: {"rules": "panoptic_parts", **of_all} if name == "PQ" else of_all for name in names
    }


def _numbers(result: Result) -> dict[str, Any]:
    """The attributes of a result: its means in `groups`, its members in lists, and units."""
    groups: dict[str, Any] = {}
    lists: dict[str, list[dict[str, Any]]] = {}
    counts: dict[str, Any] = {}
    for field in dataclasses.fields(result):  # type: ignore[arg-type]
        value = getattr(result, field.name)
        if isinstance(value, Mapping):
            lists[field.name] = [{"id": number, **vars(row)} for number, row in value.items()]
        elif dataclasses.is_dataclass(value):
            groups[field.name] = vars(value)
        else:
            counts[field.name] = value
    rows = [*groups.values(), *(row for members in lists.values() for row in members), counts]
    by_pixels = any(isinstance(row, ClassIoU) for row in result.classes.values())
    units = _units(rows, "pixels" if by_pixels else "segments")
    return without_nan({"groups": groups, **lists, **counts, "units": units})


def _units(rows: Iterable[Mapping[str, Any]], of_tp: str) -> dict[str, str]:
    """The unit of each number in some rows, in their order."""
    keys = {
        key: None
        for row in rows
        for key, value in row.items()
        if key != "id" and not isinstance(value, (str, bool))
    }
    units = {**_UNITS, "tp": of_tp}
    return {key: units.get(key.removeprefix("boundary_"), _FRACTION) for key in keys}

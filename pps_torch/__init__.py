"""Panoptic and part-aware panoptic segmentation on tensors: merging, PPS maps, PQ and PartPQ."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pps_torch.version import __version__

if TYPE_CHECKING:
    from pps_torch.formats import (
        PanopticSegmentation,
        PanopticTarget,
        decode_labels,
        decode_uids,
        encode_labels,
        encode_uids,
        ids_to_rgb,
        rgb_to_ids,
    )
    from pps_torch.merging import (
        BoxPanopticMerger,
        CenterPanopticMerger,
        PanopticMerger,
        PPSMerger,
        PPSPostProcessor,
        QueryPanopticMerger,
        merge_panoptic,
        merge_panoptic_boxes,
        merge_panoptic_centers,
        merge_panoptic_queries,
        merge_pps,
    )
    from pps_torch.metrics import (
        BoundaryPanopticQuality,
        BoundaryPanopticQualityResult,
        MeanIoU,
        MeanIoUResult,
        ModifiedPanopticQuality,
        ModifiedPanopticQualityResult,
        PanopticQuality,
        PanopticQualityResult,
        PanopticRules,
        PartIoU,
        PartIoUResult,
        PartPanopticQuality,
        PartPanopticQualityResult,
    )
    from pps_torch.specs import DatasetSpec, EvalSpec, SpecError

__all__ = [
    "BoundaryPanopticQuality",
    "BoundaryPanopticQualityResult",
    "BoxPanopticMerger",
    "CenterPanopticMerger",
    "DatasetSpec",
    "EvalSpec",
    "MeanIoU",
    "MeanIoUResult",
    "ModifiedPanopticQuality",
    "ModifiedPanopticQualityResult",
    "PPSMerger",
    "PPSPostProcessor",
    "PanopticMerger",
    "PanopticQuality",
    "PanopticQualityResult",
    "PanopticRules",
    "PanopticSegmentation",
    "PanopticTarget",
    "PartIoU",
    "PartIoUResult",
    "PartPanopticQuality",
    "PartPanopticQualityResult",
    "QueryPanopticMerger",
    "SpecError",
    "__version__",
    "decode_labels",
    "decode_uids",
    "encode_labels",
    "encode_uids",
    "ids_to_rgb",
    "merge_panoptic",
    "merge_panoptic_boxes",
    "merge_panoptic_centers",
    "merge_panoptic_queries",
    "merge_pps",
    "rgb_to_ids",
]

_ROOMS = ("formats", "merging", "metrics", "specs")


def __getattr__(name: str) -> Any:
    """Import a public name, or a room, when it is first asked for.

    Torch takes seconds to import. A command handles Ctrl-C, and answers `-h`, before that.
    """
    if name in __all__:
        for room in map(_import_room, _ROOMS):
            if hasattr(room, name):
                globals()[name] = getattr(room, name)
                return globals()[name]
    try:
        return _import_room(name)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":  # a library that the room needs
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _import_room(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")

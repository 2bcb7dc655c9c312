"""Panoptic and part-aware panoptic segmentation on tensors: merging, PPS maps, PQ and PartPQ."""

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
    PanopticQuality,
    PanopticQualityResult,
    PartPanopticQuality,
    PartPanopticQualityResult,
)
from pps_torch.specs import DatasetSpec, EvalSpec, SpecError
from pps_torch.version import __version__

__all__ = [
    "BoxPanopticMerger",
    "CenterPanopticMerger",
    "DatasetSpec",
    "EvalSpec",
    "PPSMerger",
    "PPSPostProcessor",
    "PanopticMerger",
    "PanopticQuality",
    "PanopticQualityResult",
    "PanopticSegmentation",
    "PanopticTarget",
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

"""Maps become numbers: PQ and PartPQ, accumulated on the device."""

from pps_torch.metrics.panoptic_quality import PanopticQuality, PanopticQualityResult
from pps_torch.metrics.part_panoptic_quality import PartPanopticQuality, PartPanopticQualityResult

__all__ = [
    "PanopticQuality",
    "PanopticQualityResult",
    "PartPanopticQuality",
    "PartPanopticQualityResult",
]

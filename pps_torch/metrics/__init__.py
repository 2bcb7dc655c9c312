"""Maps become numbers: PQ, PartPQ and their kin, accumulated on the device."""

from pps_torch.metrics.boundary_panoptic_quality import (
    BoundaryPanopticQuality,
    BoundaryPanopticQualityResult,
)
from pps_torch.metrics.mean_iou import MeanIoU, MeanIoUResult
from pps_torch.metrics.modified_panoptic_quality import (
    ModifiedPanopticQuality,
    ModifiedPanopticQualityResult,
)
from pps_torch.metrics.panoptic_quality import PanopticQuality, PanopticQualityResult
from pps_torch.metrics.panoptic_rules import PanopticRules
from pps_torch.metrics.part_iou import PartIoU, PartIoUResult
from pps_torch.metrics.part_panoptic_quality import PartPanopticQuality, PartPanopticQualityResult
from pps_torch.metrics.segment_records import (
    ImageRecord,
    SegmentRecord,
    counts_by_class,
    record_segments,
    segment_maps,
)

__all__ = [
    "BoundaryPanopticQuality",
    "BoundaryPanopticQualityResult",
    "ImageRecord",
    "MeanIoU",
    "MeanIoUResult",
    "ModifiedPanopticQuality",
    "ModifiedPanopticQualityResult",
    "PanopticQuality",
    "PanopticQualityResult",
    "PanopticRules",
    "PartIoU",
    "PartIoUResult",
    "PartPanopticQuality",
    "PartPanopticQualityResult",
    "SegmentRecord",
    "counts_by_class",
    "record_segments",
    "segment_maps",
]

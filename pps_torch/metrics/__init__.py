"""Metrics, from maps to numbers: PQ, PartPQ and their kin, accumulated on the device."""

from pps_torch.metrics.boundary_panoptic_quality import (
    BoundaryPanopticClass,
    BoundaryPanopticQuality,
    BoundaryPanopticQualityResult,
    BoundaryQualityMean,
)
from pps_torch.metrics.class_counts import ClassCounts
from pps_torch.metrics.comparisons import SegmentComparison
from pps_torch.metrics.confusion_matrix import ClassIoU, IoUMean
from pps_torch.metrics.mean_iou import MeanIoU, MeanIoUResult
from pps_torch.metrics.modified_panoptic_quality import (
    ModifiedPanopticClass,
    ModifiedPanopticQuality,
    ModifiedPanopticQualityResult,
    ModifiedQualityMean,
)
from pps_torch.metrics.panoptic_quality import (
    PanopticClass,
    PanopticQuality,
    PanopticQualityResult,
)
from pps_torch.metrics.panoptic_rules import PanopticRules
from pps_torch.metrics.part_iou import PartIoU, PartIoUResult
from pps_torch.metrics.part_panoptic_quality import (
    PartPanopticClass,
    PartPanopticQuality,
    PartPanopticQualityResult,
)
from pps_torch.metrics.results import ClassQuality, QualityMean, Result
from pps_torch.metrics.segment_metric import record_segments, segment_maps
from pps_torch.metrics.segment_records import ImageRecord, SegmentRecord, counts_by_class

__all__ = [
    "BoundaryPanopticClass",
    "BoundaryPanopticQuality",
    "BoundaryPanopticQualityResult",
    "BoundaryQualityMean",
    "ClassCounts",
    "ClassIoU",
    "ClassQuality",
    "ImageRecord",
    "IoUMean",
    "MeanIoU",
    "MeanIoUResult",
    "ModifiedPanopticClass",
    "ModifiedPanopticQuality",
    "ModifiedPanopticQualityResult",
    "ModifiedQualityMean",
    "PanopticClass",
    "PanopticQuality",
    "PanopticQualityResult",
    "PanopticRules",
    "PartIoU",
    "PartIoUResult",
    "PartPanopticClass",
    "PartPanopticQuality",
    "PartPanopticQualityResult",
    "QualityMean",
    "Result",
    "SegmentComparison",
    "SegmentRecord",
    "counts_by_class",
    "record_segments",
    "segment_maps",
]

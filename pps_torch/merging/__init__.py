"""Merging: predictions become panoptic maps, and panoptic maps with parts become PPS maps."""

from pps_torch.merging.boxes import BoxPanopticMerger, merge_panoptic_boxes
from pps_torch.merging.centers import CenterPanopticMerger, merge_panoptic_centers
from pps_torch.merging.masks import PanopticMerger, merge_panoptic
from pps_torch.merging.post_processor import PPSPostProcessor
from pps_torch.merging.pps import PPSMerger, merge_pps
from pps_torch.merging.queries import QueryPanopticMerger, merge_panoptic_queries

__all__ = [
    "BoxPanopticMerger",
    "CenterPanopticMerger",
    "PPSMerger",
    "PPSPostProcessor",
    "PanopticMerger",
    "QueryPanopticMerger",
    "merge_panoptic",
    "merge_panoptic_boxes",
    "merge_panoptic_centers",
    "merge_panoptic_queries",
    "merge_pps",
]

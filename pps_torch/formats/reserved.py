"""Every reserved number of the formats; those that specs need too are defined there."""

from pps_torch.specs.fields import ABSENT, NO_PART, UNDEFINED_PART

__all__ = ["ABSENT", "NO_PART", "PPS_VOID", "UNDEFINED_PART", "VOID_ID"]

#: Segment id of pixels that belong to no segment (COCO panoptic, ``panoptic_seg``).
VOID_ID = 0

#: Scene class, and part, of a PPS pixel without prediction, unless the EvalSpec says otherwise.
PPS_VOID = 255

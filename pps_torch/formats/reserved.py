"""Every reserved number of the formats, once."""

#: Segment id of pixels that belong to no segment (COCO panoptic, ``panoptic_seg``).
VOID_ID = 0

#: Scene class, and part, of a PPS pixel without prediction, unless the EvalSpec says otherwise.
PPS_VOID = 255

#: Part that a PPS map stores for classes without parts.
NO_PART = 1

#: Ground-truth part of a pixel whose part is not labelled; in predictions: background.
UNDEFINED_PART = 0

#: A level (instance or part) that an id does not have, a table row that is not used.
ABSENT = -1

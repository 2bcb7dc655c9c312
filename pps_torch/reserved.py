"""Every reserved number of the ids, in tensors and in files.

The reserved class indices of the operations stand in `ops/scoring/contract.py`.
"""

#: A level (instance or part) that an id does not have; a table row that is not used.
ABSENT = -1

#: Segment id of pixels that belong to no segment (COCO panoptic, `panoptic_seg`).
VOID_ID = 0

#: Part id 0. In the ground truth: the part is not labelled. In a prediction: background.
UNDEFINED_PART = 0

#: Part id of every pixel of a class without parts, in a PPS map.
NO_PART = 1

#: Scene class, and part, of a PPS pixel without prediction, unless the EvalSpec says otherwise.
PPS_VOID = 255

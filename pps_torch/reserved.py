"""Every reserved number of the ids, in tensors and in files."""

#: A level (instance or part) that an id does not have; a table row that is not used.
ABSENT = -1

#: Segment id of pixels that belong to no segment (COCO panoptic, `panoptic_seg`).
VOID_ID = 0

#: As a part id of the ground truth: the part is not labelled; of a prediction: background.
UNDEFINED_PART = 0

#: As a part of a PPS map: the class has no parts.
NO_PART = 1

#: Scene class, and part, of a PPS pixel without prediction, unless the EvalSpec says otherwise.
PPS_VOID = 255

"""A map of uids -> what a panoptic network with a part head is trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pps_torch.formats import decode_uids
from pps_torch.integrations.detectron2.class_ids import (
    THINGS_LABEL,
    stuff_contiguous_ids,
    thing_contiguous_ids,
)
from pps_torch.specs import EvalSpec, dataset_lookups

_UNKNOWN = -1  # the last row of a table


class TrainingTargets(NamedTuple):
    """What the pixels of an image belong to; all four come from one map of uids.

    Attributes:
        sem_seg: `(H, W)` int64, 0 for things, contiguous ids of stuff, the ignore label where
            nothing is evaluated.
        part_seg: `(H, W)` int64, flat part ids; 0 for classes that have none; the ignore label
            where the part is undefined or nothing is evaluated.
        masks: `(N, H, W)` bool, the instances.
        classes: `(N,)` int64, their contiguous thing ids.
    """

    sem_seg: Tensor
    part_seg: Tensor
    masks: Tensor
    classes: Tensor


class TrainingTargetMaker:
    """Makes `TrainingTargets`; a thing without instance id (a crowd) is no instance.

    Args:
        spec: what the ids mean. Its `ignore_label` is that of the maps.

    Raises:
        ValueError: the ignore label is one of the contiguous or flat ids.

    Example:
        >>> make = TrainingTargetMaker(EvalSpec.load("cpp_default"))
        >>> targets = make(torch.tensor([[7, 26_001_02, 26, 0]]))    # road, a wheel, cars, nothing
        >>> targets.sem_seg.tolist(), targets.part_seg.tolist()
        ([[1, 0, 0, 255]], [[0, 10, 255, 255]])
        >>> targets.masks.tolist(), targets.classes.tolist()
        ([[[False, True, False, False]]], [2])
    """

    def __init__(self, spec: EvalSpec) -> None:
        self.spec = spec
        highest = max(len(spec.stuff), spec.num_parts_flat)
        if 0 <= spec.ignore_label <= highest:
            raise ValueError(
                f"{spec.name}: ignore_label: expected a value that is no contiguous or flat id "
                f"(0..{highest}), found {spec.ignore_label}"
            )
        things, stuff = thing_contiguous_ids(spec), stuff_contiguous_ids(spec)
        semantic = [stuff.get(sid, THINGS_LABEL) for sid in spec.eval_sids]
        self._label_of_class = torch.tensor([*semantic, spec.ignore_label])
        thing_of_class = [things.get(sid, _UNKNOWN) for sid in spec.eval_sids]
        self._thing_of_class = torch.tensor([*thing_of_class, _UNKNOWN])

    def __call__(self, uids: Tensor) -> TrainingTargets:
        """Targets of one image.

        Args:
            uids: `(H, W)` integers, with the data set's ids.

        Raises:
            ValueError: a negative or three-digit uid.
        """
        lookups = dataset_lookups(self.spec)
        sids, iids, pids = (ids.long() for ids in decode_uids(uids))
        last_row = len(lookups.class_of_sid) - 1
        rows = torch.where(sids < last_row, sids, last_row)
        class_index = lookups.class_of_sid[rows]
        flat_ids = lookups.flat_of_sid_pid[rows, pids + 1]
        thing = self._thing_of_class[class_index]
        keys = torch.where((thing >= 0) & (iids >= 0), lookups.group_of_sid[rows] * 1000 + iids, -1)
        instances, instance_index = keys.unique(return_inverse=True)
        masks = instance_index == torch.arange(len(instances))[:, None, None]
        masks = masks[instances >= 0]
        classes = lookups.class_of_group[instances[instances >= 0] // 1000]
        return TrainingTargets(
            sem_seg=self._label_of_class[class_index],
            part_seg=torch.where(flat_ids >= 0, flat_ids, self.spec.ignore_label),
            masks=masks,
            classes=self._thing_of_class[classes],
        )


def transform_uids(
    uids: np.ndarray, apply_segmentation: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """A map of uids after a geometric transform of Detectron2's, every value exact.

    Detectron2 resizes maps of 8-bit numbers with Pillow, at the same pixel centres as the photo;
    of other types half a pixel off, and integers not at all. So the four bytes of a uid travel as
    four channels. Pixels that a transform fills, with 0 or with an ignore value of 128 to 255 in
    each byte, become uid 0, unlabelled.

    Args:
        uids: `(H, W)` integers of at most 32 bits.
        apply_segmentation: the transforms' method of this name.

    Returns:
        `(H, W)` int32.
    """
    height, width = uids.shape
    channels = np.ascontiguousarray(uids, np.int32).view(np.uint8).reshape(height, width, 4)
    channels = np.ascontiguousarray(apply_segmentation(channels), np.uint8)
    return np.maximum(channels.view(np.int32)[:, :, 0], 0)

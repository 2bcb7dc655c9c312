"""The training targets of a panoptic network with a part head, made from a map of uids."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pps_torch.formats import decode_uids
from pps_torch.integrations.detectron2.class_ids import semantic_labels, thing_contiguous_ids
from pps_torch.specs import EvalSpec
from pps_torch.specs.lookups import dataset_lookups

_NO_THING = -1  # instead of a contiguous thing id, for stuff and void


class TrainingTargets(NamedTuple):
    """Semantic map, part map and instances of one image, all from one map of uids.

    Attributes:
        sem_seg: `(H, W)` int64: 0 on things, contiguous ids on stuff, the spec's ignore label on
            void.
        part_seg: `(H, W)` int64: flat part ids, 0 on classes without parts, the ignore label where
            the part is undefined and on void.
        masks: `(N, H, W)` bool: the instances.
        classes: `(N,)` int64: contiguous thing ids of the instances.
    """

    sem_seg: Tensor
    part_seg: Tensor
    masks: Tensor
    classes: Tensor


class TrainingTargetMaker:
    """Make the `TrainingTargets` of images.

    A thing without instance id is a crowd, and no instance.

    Args:
        spec: what the ids mean; the ignore label of the targets is its `ignore_label`.

    Raises:
        ValueError: the ignore label is also a contiguous id or a flat part id.

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
        highest = max(len(spec.stuff), spec.highest_flat_pid)
        if 0 <= spec.ignore_label <= highest:
            raise ValueError(
                f"{spec.name}: ignore_label: expected a value that is no contiguous or flat id "
                f"(0..{highest}), found {spec.ignore_label}"
            )
        thing_ids = thing_contiguous_ids(spec)
        things = [thing_ids.get(sid, _NO_THING) for sid in spec.eval_sids]
        # A row for each class of the spec, and a last one for void.
        self._label_of_class = torch.tensor(
            [*semantic_labels(spec), spec.ignore_label], device="cpu"
        )
        self._thing_of_class = torch.tensor([*things, _NO_THING], device="cpu")

    def __call__(self, uids: Tensor) -> TrainingTargets:
        """Make the targets of one image.

        Args:
            uids: `(H, W)` integers with the data set's ids.

        Raises:
            ValueError: a uid is negative or has three digits.
        """
        lookups = dataset_lookups(self.spec)
        sids, iids, pids = (ids.long() for ids in decode_uids(uids))
        last_row = len(lookups.class_of_sid) - 1
        rows = torch.where(sids < last_row, sids, last_row)
        class_index = lookups.class_of_sid[rows]
        flat_ids = lookups.flat_of_sid_pid[rows, pids + 1]
        thing = self._thing_of_class[class_index]
        # One key for each instance; -1 on crowds, stuff and void.
        keys = torch.where((thing >= 0) & (iids >= 0), lookups.group_of_sid[rows] * 1000 + iids, -1)
        instances, instance_index = keys.unique(return_inverse=True)
        masks = instance_index == torch.arange(len(instances), device="cpu")[:, None, None]
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
    """Apply a geometric transform of Detectron2 to a map of uids, without changing any uid.

    Detectron2 resizes maps of bytes with Pillow, at the same pixel centres as the photo. It resizes
    maps of floats half a pixel off, and other integers not at all. Therefore the four bytes of a
    uid are transformed as four channels. A transform that adds pixels fills their bytes with 0 or
    with an ignore value of 128 to 255; both become uid 0, unlabelled.

    Args:
        uids: `(H, W)` integers of at most 32 bits.
        apply_segmentation: the method of this name of Detectron2's transforms.

    Returns:
        `(H, W)` int32.
    """
    height, width = uids.shape
    channels = np.ascontiguousarray(uids, np.int32).view(np.uint8).reshape(height, width, 4)
    channels = np.ascontiguousarray(apply_segmentation(channels), np.uint8)
    return np.maximum(channels.view(np.int32)[:, :, 0], 0)

"""Images whose segments PQ counts together.

An image has some hundred combinations of segments, so what a count takes is the calls, and they
take hardly longer for thirty images than for one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.metrics import PanopticQuality
from pps_torch.reserved import ABSENT, VOID_ID

#: Images that are counted together. Their tables are as long as that of the longest image.
_ENOUGH = 32

#: An image with more runs or segments is counted by itself.
_LONGEST = 1 << 15


class ImageRuns(NamedTuple):
    """What lies in the same pixels of a prediction and its ground truth.

    Attributes:
        pred_infos, target_infos: the segments, as dicts with `category_id`, `iscrowd` where it is.
        pred_ids, target_ids: `(R,)` their places from 1 on, 0 for void.
        lengths: `(R,)` pixels.
    """

    pred_infos: Sequence[Mapping[str, Any]]
    target_infos: Sequence[Mapping[str, Any]]
    pred_ids: np.ndarray
    target_ids: np.ndarray
    lengths: np.ndarray

    @property
    def length(self) -> int:
        """The rows that its tables take."""
        return max(len(self.lengths), len(self.pred_infos), len(self.target_infos))


class WaitingImages:
    """The images that all threads have read and none has counted."""

    def __init__(self) -> None:
        self._images: list[ImageRuns] = []
        self._lock = threading.Lock()

    def add(self, image: ImageRuns) -> list[ImageRuns]:
        """Add an image, and take all as soon as there are enough to count; a long one at once."""
        if image.length > _LONGEST:
            return [image]
        with self._lock:
            self._images.append(image)
            is_enough = len(self._images) >= _ENOUGH
        return self.take() if is_enough else []

    def take(self) -> list[ImageRuns]:
        """Take all that wait."""
        with self._lock:
            images, self._images = self._images, []
        return images


def count_images(metric: PanopticQuality, images: Sequence[ImageRuns]) -> None:
    """Count images in one call; errors as of `PanopticQuality.update_runs`."""
    if not images:
        return
    pred_infos, target_infos, pred_ids, target_ids, lengths = zip(*images)
    crowds = [[bool(info.get("iscrowd", 0)) for info in infos] for infos in target_infos]
    pred = _prediction(_padded(pred_ids, VOID_ID, np.int32)[:, None], _category_ids(pred_infos))
    target = PanopticTarget(
        panoptic_seg=_padded(target_ids, VOID_ID, np.int32)[:, None],
        category_ids=_category_ids(target_infos),
        is_crowd=_padded(crowds, False, np.bool_),
        num_segments=torch.tensor([*map(len, target_infos)], device="cpu"),
    )
    metric.update_runs(pred, target, _padded(lengths, 0, np.int64)[:, None])


def _prediction(panoptic_seg: Tensor, category_ids: Tensor) -> PanopticSegmentation:
    """A batch of predictions, all of whose segments are said to be stuff, as PQ does not look."""
    return PanopticSegmentation(
        panoptic_seg=panoptic_seg,
        category_ids=category_ids,
        is_thing=torch.zeros_like(category_ids, dtype=torch.bool),
        scores=torch.zeros_like(category_ids, dtype=torch.float64),
        areas=torch.zeros_like(category_ids),
        source=torch.full_like(category_ids, ABSENT),
        num_segments=(category_ids != ABSENT).sum(-1),
    )


def _category_ids(infos: Sequence[Sequence[Mapping[str, Any]]]) -> Tensor:
    """The categories of the segments of each image, `(B, S)` int64."""
    return _padded([[i["category_id"] for i in image] for image in infos], ABSENT, np.int64)


def _padded(rows: Sequence[Any], unused: int, dtype: npt.DTypeLike) -> Tensor:
    """Rows of different lengths, `(B, N)`."""
    padded = np.full((len(rows), max(map(len, rows))), unused, dtype)
    for row, values in zip(padded, rows):
        row[: len(values)] = values
    return torch.from_numpy(padded)

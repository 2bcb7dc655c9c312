"""The heuristic merge for masks in the frame of their boxes, as Mask R-CNN predicts them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_floating,
    check_ndim,
    check_number,
    check_shape,
    checks_values,
)
from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.merging.category_ids import (
    as_category_ids,
    as_classes,
    as_id_tensor,
    with_category_ids,
)
from pps_torch.merging.instances import check_instances, check_settings
from pps_torch.merging.module_repr import format_settings
from pps_torch.ops.backend import check_backend
from pps_torch.ops.painting.merge_boxes import merge_boxes


def merge_panoptic_boxes(
    sem_seg: Tensor,
    mask_probs: Tensor,
    boxes: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    *,
    stuff_ids: Sequence[int] | Tensor,
    mask_threshold: float = 0.5,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area_limit: float = 4096,
    category_ids: Sequence[int] | Tensor | None = None,
    validate: bool | None = None,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Merge masks in the frame of their boxes and a semantic map into a panoptic map.

    Equals pasting each mask into the image as Detectron2's `paste_masks_in_image` does and then
    `merge_panoptic`, but never holds N x H x W.

    Args:
        sem_seg: `(*B, H, W)`, any integer dtype: semantic labels.
        mask_probs: `(*B, N, M, M)` float, 0..1, each in its box's frame.
        boxes: `(*B, N, 4)` float, xyxy in absolute pixels.
        scores, pred_classes: `(*B, N)` float and integer.
        mask_threshold: fraction above 0; a sample equal to it belongs to the mask.
        stuff_ids, score_threshold, overlap_threshold, stuff_area_limit, category_ids, validate: as
            in [`merge_panoptic`][pps_torch.merge_panoptic].
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton]. The two versions
            may differ where a sample is within rounding of `mask_threshold`.

    Returns:
        `PanopticSegmentation` with a capacity of N + len(stuff_ids) segments.

    Raises:
        TypeError, ValueError: for a wrong dtype, shape or threshold, naming the argument.

    Example:
        >>> import torch
        >>> merged = merge_panoptic_boxes(
        ...     torch.full((4, 4), 7), torch.ones(1, 28, 28), torch.tensor([[0.0, 0, 4, 2]]),
        ...     torch.tensor([0.9]), torch.tensor([26]), stuff_ids=[7], stuff_area_limit=8)
        >>> merged.panoptic_seg[:, 0].tolist()
        [1, 1, 2, 2]
    """
    check_settings(score_threshold, overlap_threshold, stuff_area_limit)
    _check_mask_threshold(mask_threshold)
    check_instances(scores, pred_classes, sem_seg, validate=validate)
    _check_boxes(mask_probs, boxes, scores, validate=validate)

    pred_classes, stuff_ids, category_ids = as_classes(
        pred_classes, stuff_ids, category_ids, validate=validate
    )
    merged = merge_boxes(
        mask_probs,
        boxes,
        scores,
        pred_classes,
        sem_seg,
        stuff_ids,
        mask_threshold=mask_threshold,
        score_threshold=score_threshold,
        overlap_threshold=overlap_threshold,
        stuff_area_limit=stuff_area_limit,
        backend=backend,
    )
    return with_category_ids(merged, category_ids)


class BoxPanopticMerger(TensorHolder):
    """Module that merges masks in boxes and a semantic map into a panoptic map.

    Made with the settings of [`merge_panoptic_boxes`][pps_torch.merge_panoptic_boxes];
    `stuff_ids` and `category_ids` move with the module.
    """

    stuff_ids: Tensor
    category_ids: Tensor | None

    def __init__(
        self,
        stuff_ids: Sequence[int],
        *,
        mask_threshold: float = 0.5,
        score_threshold: float = 0.5,
        overlap_threshold: float = 0.5,
        stuff_area_limit: float = 4096,
        category_ids: Sequence[int] | None = None,
        validate: bool | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        check_settings(score_threshold, overlap_threshold, stuff_area_limit)
        _check_mask_threshold(mask_threshold)
        check_backend(backend)
        cpu = torch.device("cpu")
        self._hold_tables(
            stuff_ids=as_id_tensor("stuff_ids", stuff_ids, cpu),
            category_ids=as_category_ids(category_ids, cpu),
        )
        self.mask_threshold = mask_threshold
        self.score_threshold = score_threshold
        self.overlap_threshold = overlap_threshold
        self.stuff_area_limit = stuff_area_limit
        self.validate = validate
        self.backend = backend

    def forward(
        self,
        sem_seg: Tensor,
        mask_probs: Tensor,
        boxes: Tensor,
        scores: Tensor,
        pred_classes: Tensor,
    ) -> PanopticSegmentation:
        """Merge one image or a batch.

        The arguments are those of [`merge_panoptic_boxes`][pps_torch.merge_panoptic_boxes].
        """
        return merge_panoptic_boxes(
            sem_seg,
            mask_probs,
            boxes,
            scores,
            pred_classes,
            stuff_ids=self.stuff_ids,
            mask_threshold=self.mask_threshold,
            score_threshold=self.score_threshold,
            overlap_threshold=self.overlap_threshold,
            stuff_area_limit=self.stuff_area_limit,
            category_ids=self.category_ids,
            validate=self.validate,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        """Format the settings, as the constructor takes them."""
        thresholds = ("mask_threshold", "score_threshold", "overlap_threshold")
        rest = ("stuff_area_limit", "category_ids", "validate", "backend")
        return format_settings(self, "stuff_ids", *thresholds, *rest)


def _check_mask_threshold(mask_threshold: float) -> None:
    """Raise TypeError or ValueError unless the threshold is a fraction above 0."""
    check_number("mask_threshold", mask_threshold)
    if not 0 < mask_threshold <= 1:
        raise ValueError(f"mask_threshold: expected more than 0, at most 1, found {mask_threshold}")


def _check_boxes(
    mask_probs: Tensor, boxes: Tensor, scores: Tensor, *, validate: bool | None
) -> None:
    """Raise TypeError or ValueError unless each score `(*B, N)` has a mask and a box."""
    for name, value in (("mask_probs", mask_probs), ("boxes", boxes)):
        check_floating(name, value)
        check_device(name, value, scores)
    check_ndim("mask_probs", mask_probs, 3, "(*B, N, M, M)")
    side = mask_probs.shape[-1]
    check_shape("mask_probs", mask_probs, (*scores.shape, side, side))
    check_shape("boxes", boxes, (*scores.shape, 4))
    if side == 0:
        raise ValueError(f"mask_probs: expected masks of M >= 1, found {tuple(mask_probs.shape)}")
    if not checks_values(validate, boxes):
        return
    if not bool(boxes.isfinite().all()):
        raise ValueError("boxes: expected finite pixels, found NaN or infinity")
    if not bool(((mask_probs >= 0) & (mask_probs <= 1)).all()):
        raise ValueError("mask_probs: expected probabilities in 0..1, found others, or NaN")

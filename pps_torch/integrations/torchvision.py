"""torchvision: PPS maps from detections of its Mask R-CNN, semantic logits and part logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.checks import (
    check_floating,
    check_integer,
    check_shape,
    check_size,
    checks_values,
)
from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.integrations.libraries import check_installed
from pps_torch.merging import BoxPanopticMerger, PanopticMerger, PPSMerger
from pps_torch.merging.channel_ids import (
    and_absent,
    as_channel_ids,
    as_part_ids,
    as_semantic_ids,
    check_logits,
    ids_of_indices,
)
from pps_torch.ops.painting.upsampled_ids import upsampled_ids
from pps_torch.reserved import ABSENT
from pps_torch.specs import EvalSpec, check_eval_spec

check_installed("torchvision", "pps_torch.integrations.torchvision")


class MaskRCNNPostProcessor(TensorHolder):
    """Merge detections of torchvision's Mask R-CNN with semantic and, if there are, part logits.

    The outputs are panoptic and PPS maps, by [`merge_panoptic`][pps_torch.merge_panoptic] and
    [`merge_pps`][pps_torch.merge_pps].

    Args:
        spec: the `EvalSpec` whose scene ids the outputs carry.
        label_ids: scene id of each label of the detector; -1 for label 0, the background.
            Default: the labels 1, 2, ... are `spec.things`.
        semantic_ids: scene id of each semantic channel; -1 for a channel that is no class.
            Default: `spec.eval_sids`.
        part_ids: flat part id of each part channel. Default: 0 (background), then the spec's flat
            ids in rising order.
        mask_threshold, score_threshold, overlap_threshold, stuff_area_limit, backend: as in
            [`merge_panoptic_boxes`][pps_torch.merge_panoptic_boxes].
        validate: whether NaN and labels without a scene id are errors. Default: on the CPU only.
            Without the check such a detection is dropped, and a NaN logit never wins.

    Raises:
        TypeError: for ids that are no ints.
        ValueError: for an id that the spec does not have, or an unknown backend.
        RuntimeError: when called, if the backend `"triton"` cannot run.

    Example:
        >>> from torchvision.models.detection import maskrcnn_resnet50_fpn
        >>> from pps_torch import EvalSpec
        >>> from pps_torch.integrations.torchvision import MaskRCNNPostProcessor
        >>> detector = maskrcnn_resnet50_fpn(
        ...     weights=None, weights_backbone=None, num_classes=9, min_size=64).eval()
        >>> post_process = MaskRCNNPostProcessor(EvalSpec.load("cpp_default"))
        >>> sem_seg_logits, part_logits = torch.randn(1, 19, 16, 24), torch.randn(1, 24, 16, 24)
        >>> detections = detector([torch.rand(3, 64, 96)])
        >>> panoptic, pps = post_process(detections, sem_seg_logits, part_logits)
        >>> pps.shape
        torch.Size([1, 3, 64, 96])
    """

    label_ids: Tensor
    label_ids_and_absent: Tensor
    semantic_ids: Tensor
    part_ids: Tensor

    def __init__(
        self,
        spec: EvalSpec,
        *,
        label_ids: Sequence[int] | None = None,
        semantic_ids: Sequence[int] | None = None,
        part_ids: Sequence[int] | None = None,
        mask_threshold: float = 0.5,
        score_threshold: float = 0.5,
        overlap_threshold: float = 0.5,
        stuff_area_limit: float = 4096,
        validate: bool | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        check_eval_spec("spec", spec)
        known = (ABSENT, *spec.things)
        labels = known if label_ids is None else label_ids
        self._hold_tables(
            label_ids=as_channel_ids("label_ids", labels, known),
            semantic_ids=as_semantic_ids(semantic_ids, spec),
            part_ids=as_part_ids(part_ids, spec),
        )
        self._hold_tables(label_ids_and_absent=and_absent(self.tables["label_ids"]))
        settings: dict[str, Any] = {
            "score_threshold": score_threshold,
            "overlap_threshold": overlap_threshold,
            "stuff_area_limit": stuff_area_limit,
            "validate": validate,
            "backend": backend,
        }
        self.merge_masks = PanopticMerger(spec.stuff, **settings)
        self.merge_boxes = BoxPanopticMerger(spec.stuff, mask_threshold=mask_threshold, **settings)
        self.merge_pps = PPSMerger(spec, validate=validate, backend=backend)
        self.mask_threshold = mask_threshold
        self.validate = validate
        self.backend = backend

    def forward(
        self,
        detections: Sequence[Mapping[str, Tensor]],
        sem_seg_logits: Tensor,
        part_logits: Tensor | None = None,
        image_size: tuple[int, int] | None = None,
        *,
        masks_are_logits: bool = False,
    ) -> tuple[PanopticSegmentation, Tensor | None]:
        """Merge a batch of images of one size.

        Args:
            detections: for each image `boxes` `(N, 4)`, xyxy in pixels of the image, `labels`
                `(N,)`, `scores` `(N,)` and `masks`. Masks are `(N, 1, H, W)` in the image, as the
                detector returns them, or `(N, 1, M, M)` in their boxes' frames, as its `roi_heads`
                return them; the latter are pasted as in Detectron2. Masks of the size of the image
                are taken for masks in the image.
            sem_seg_logits: `(B, C, h, w)` float, at any stride.
            part_logits: `(B, P, h', w')` float, at any stride; None without a part network. Both
                logits are upsampled bilinearly (align_corners=False), and the highest channel wins.
            image_size: `(H, W)`; needed with masks in their boxes' frames. Default: that of the
                masks, which the boxes must not leave.
            masks_are_logits: whether the masks are logits; else they are probabilities 0..1.

        Returns:
            the `PanopticSegmentation` and the PPS map `(B, 3, H, W)` int32, None without parts.

        Raises:
            TypeError, ValueError: for a wrong dtype, shape or size, and see `validate`.
        """
        masks, boxes, scores, labels = stack_detections(detections)
        if masks_are_logits:
            masks = masks.sigmoid()
        if image_size is not None:
            check_size("image_size", image_size)
        height, width = masks.shape[-2:] if image_size is None else image_size
        size, batch = (height, width), masks.shape[:1]
        validate, backend = self.validate, self.backend
        if image_size is None and checks_values(validate, boxes):
            _check_masks_in_image(boxes, size)
        check_logits("sem_seg_logits", sem_seg_logits, batch, self.semantic_ids, validate=validate)
        if part_logits is not None:
            check_logits("part_logits", part_logits, batch, self.part_ids, validate=validate)
        sem_seg = upsampled_ids(sem_seg_logits, self.semantic_ids, size, backend=backend)
        classes = ids_of_indices("labels", labels, self.label_ids_and_absent, validate=validate)
        # The merge refuses negative classes, but never takes an instance of score -inf.
        scores, classes = scores.where(classes >= 0, -torch.inf), classes.clamp(min=0)
        if tuple(masks.shape[-2:]) == size:
            masks = masks >= self.mask_threshold
            panoptic = self.merge_masks(sem_seg, masks, scores, classes)
        else:
            panoptic = self.merge_boxes(sem_seg, masks, boxes, scores, classes)
        if part_logits is None:
            return panoptic, None
        part_seg = upsampled_ids(part_logits, self.part_ids, size, backend=backend)
        return panoptic, self.merge_pps(panoptic, part_seg)


def _check_masks_in_image(boxes: Tensor, size: tuple[int, int]) -> None:
    """Raise ValueError if boxes `(B, N, 4)` leave masks of this size by a pixel or more."""
    height, width = size
    right, bottom = boxes[..., 2:].flatten(0, 1).amax(0).tolist() if boxes.numel() else (0, 0)
    if right >= width + 1 or bottom >= height + 1:
        raise ValueError(
            "image_size: expected (H, W), as boxes reach to "
            f"({right:g}, {bottom:g}) and leave masks of (H, W) {size}, found None"
        )


def stack_detections(
    detections: Sequence[Mapping[str, Tensor]],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Stack the detections of a batch, and pad each image with instances of score -inf.

    Args:
        detections: see `MaskRCNNPostProcessor.forward`.

    Returns:
        masks `(B, N, h, w)`, boxes `(B, N, 4)`, scores `(B, N)` and labels `(B, N)` int64; N is
        the largest number of detections in an image. No merge takes the padding, whose masks, boxes
        and labels are 0.

    Raises:
        TypeError, ValueError: for a wrong dtype or shape, or an empty batch.
    """
    if not detections:
        raise ValueError("detections: expected at least one image, found none")
    for index, image in enumerate(detections):
        name = f"detections[{index}]"
        missing = {"masks", "boxes", "scores", "labels"} - set(image)
        if missing:
            raise ValueError(f"{name}: expected the keys {sorted(missing)}, found {sorted(image)}")
        for key in ("masks", "boxes", "scores"):
            check_floating(f"{name}.{key}", image[key])
        check_integer(f"{name}.labels", image["labels"])
        count = len(image["scores"])
        mask_size = tuple(detections[0]["masks"].shape[2:])
        check_shape(f"{name}.masks", image["masks"], (count, 1, *mask_size))
        check_shape(f"{name}.boxes", image["boxes"], (count, 4))
        check_shape(f"{name}.labels", image["labels"], (count,))
    most = max(len(image["scores"]) for image in detections)

    def stack(key: str) -> Tensor:
        padded = []
        for image in detections:
            values = image[key]
            padding = (0, 0) * (values.ndim - 1) + (0, most - len(values))
            padded.append(F.pad(values, padding, value=-torch.inf if key == "scores" else 0))
        return torch.stack(padded)

    return stack("masks")[:, :, 0], stack("boxes"), stack("scores"), stack("labels").long()

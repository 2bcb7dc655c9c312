"""torchvision: detections of its Mask R-CNN, with semantic and part logits, become PPS maps."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pps_torch.formats import PanopticSegmentation
from pps_torch.formats.checks import check_floating, check_integer, check_shape, checks_values
from pps_torch.formats.reserved import ABSENT
from pps_torch.merging import BoxPanopticMerger, PanopticMerger, PPSMerger
from pps_torch.ops.upsampled_argmax import upsampled_ids
from pps_torch.specs import EvalSpec

if importlib.util.find_spec("torchvision") is None:
    raise ImportError("pps_torch.integrations.torchvision needs the library torchvision")


class MaskRCNNPostProcessor(nn.Module):
    """Detections of torchvision's Mask R-CNN, semantic and part logits -> panoptic and PPS maps.

    The heuristic merge (:func:`pps_torch.merge_panoptic`) and :func:`pps_torch.merge_pps`.

    Args:
        spec: the :class:`EvalSpec` whose scene ids the outputs carry.
        label_ids: scene id that each of the detector's labels means, -1 for label 0, the
            background. Default: the labels 1, 2, ... are ``spec.things``.
        semantic_ids: scene id that each semantic channel means, -1 for one that is no class.
            Default: ``spec.eval_sids``.
        part_ids: flat part id that each part channel means. Default: 0 (background), then the
            spec's flat ids in rising order.
        mask_threshold, score_threshold, overlap_threshold, stuff_area_limit, backend: as in
            :func:`pps_torch.merge_panoptic_boxes`.

    Raises:
        ValueError: for an id that the spec does not have, or another backend.
        RuntimeError: at a call that the backend ``"triton"`` cannot run.

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
        backend: str = "auto",
    ) -> None:
        super().__init__()
        flat_ids = {0, *spec.eval_sid_pid_to_flat.values()}
        ids = {
            "label_ids": ((ABSENT, *spec.things) if label_ids is None else label_ids),
            "semantic_ids": (spec.eval_sids if semantic_ids is None else semantic_ids),
            "part_ids": (sorted(flat_ids) if part_ids is None else part_ids),
        }
        known = {
            "label_ids": {ABSENT, *spec.things},
            "semantic_ids": {ABSENT, *spec.eval_sids},
            "part_ids": flat_ids,
        }
        for name, values in ids.items():
            unknown = [value for value in values if value not in known[name]]
            if unknown:
                raise ValueError(f"{name}: expected ids of the spec, found {unknown}")
            values = torch.tensor(tuple(values), dtype=torch.int32)
            self.register_buffer(name, values, persistent=False)
        settings: dict[str, Any] = {
            "score_threshold": score_threshold,
            "overlap_threshold": overlap_threshold,
            "stuff_area_limit": stuff_area_limit,
            "validate": False,
            "backend": backend,
        }
        self.merge_masks = PanopticMerger(spec.stuff, **settings)
        self.merge_boxes = BoxPanopticMerger(spec.stuff, mask_threshold=mask_threshold, **settings)
        self.merge_pps = PPSMerger(spec, backend=backend)
        self.mask_threshold = mask_threshold
        self.backend = backend

    def forward(
        self,
        detections: Sequence[Mapping[str, Tensor]],
        sem_seg_logits: Tensor,
        part_logits: Tensor,
        image_size: tuple[int, int] | None = None,
        *,
        masks_are_logits: bool = False,
    ) -> tuple[PanopticSegmentation, Tensor]:
        """Post-processes a batch of images of one size.

        Args:
            detections: for each image ``boxes (N, 4)`` xyxy pixels of the image, ``labels (N,)``,
                ``scores (N,)`` and ``masks``: ``(N, 1, H, W)`` in the image, as the detector
                returns them, or ``(N, 1, M, M)`` in the frame of their boxes, as its
                ``roi_heads`` do; these are pasted as Detectron2 pastes them.
            sem_seg_logits: ``(B, C, h, w)`` float; part_logits: ``(B, P, h', w')`` float, both at
                any stride: upsampled bilinearly (align_corners=False), the highest channel wins.
            image_size: ``(H, W)``; needed with masks in the frame of their boxes.
            masks_are_logits: the masks are not probabilities 0..1 but logits.

        Returns:
            the :class:`PanopticSegmentation` and the PPS map ``(B, 3, H, W)`` int32.

        Raises:
            TypeError, ValueError: for a wrong dtype or shape, and on the CPU for a label that
                ``label_ids`` does not have; unchecked, its detection is dropped.
        """
        masks, boxes, scores, labels = stack_detections(detections)
        if masks_are_logits:
            masks = masks.sigmoid()
        height, width = image_size or masks.shape[-2:]
        size = (height, width)
        for name, logits in (("sem_seg_logits", sem_seg_logits), ("part_logits", part_logits)):
            check_floating(name, logits)
            channels = len(self.semantic_ids if name == "sem_seg_logits" else self.part_ids)
            check_shape(name, logits, (len(masks), channels, *logits.shape[-2:]))
        sem_seg = upsampled_ids(sem_seg_logits, self.semantic_ids, size, self.backend)
        part_seg = upsampled_ids(part_logits, self.part_ids, size, self.backend)
        classes = self._classes(labels)
        if tuple(masks.shape[-2:]) == size:
            masks = masks >= self.mask_threshold
            panoptic = self.merge_masks(sem_seg, masks, scores, classes)
        else:
            panoptic = self.merge_boxes(sem_seg, masks, boxes, scores, classes)
        return panoptic, self.merge_pps(panoptic, part_seg)

    def _classes(self, labels: Tensor) -> Tensor:
        """Scene ids of labels; -1, which the merge drops, for those that mean nothing."""
        is_known = (labels >= 0) & (labels < len(self.label_ids))
        if checks_values(None, labels) and not bool(is_known.all()):
            raise ValueError(
                f"labels: expected 0..{len(self.label_ids) - 1}, found "
                f"{int(labels.min())}..{int(labels.max())}"
            )
        return torch.where(is_known, self.label_ids[torch.where(is_known, labels, 0)], ABSENT)


def stack_detections(
    detections: Sequence[Mapping[str, Tensor]],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Detections of a batch as tensors: each image is filled up with empty masks of score 0.

    Args:
        detections: see :meth:`MaskRCNNPostProcessor.forward`.

    Returns:
        masks ``(B, N, h, w)``, boxes ``(B, N, 4)``, scores ``(B, N)`` and labels ``(B, N)`` int64,
        label 0 where filled up; N is the largest number of detections in an image.

    Raises:
        TypeError, ValueError: for a wrong dtype or shape, or no image at all.
    """
    if not detections:
        raise ValueError("detections: expected an image at least, got none")
    for index, found in enumerate(detections):
        name = f"detections[{index}]"
        missing = {"masks", "boxes", "scores", "labels"} - set(found)
        if missing:
            raise ValueError(f"{name}: expected the keys {sorted(missing)}, found {sorted(found)}")
        for key in ("masks", "boxes", "scores"):
            check_floating(f"{name}.{key}", found[key])
        check_integer(f"{name}.labels", found["labels"])
        count = len(found["scores"])
        mask_size = tuple(detections[0]["masks"].shape[2:])
        check_shape(f"{name}.masks", found["masks"], (count, 1, *mask_size))
        check_shape(f"{name}.boxes", found["boxes"], (count, 4))
        check_shape(f"{name}.labels", found["labels"], (count,))
    most = max(len(found["scores"]) for found in detections)

    def stack(key: str) -> Tensor:
        filled = []
        for found in detections:
            values = found[key]
            rest = (0, 0) * (values.ndim - 1) + (0, most - len(values))
            filled.append(F.pad(values, rest))
        return torch.stack(filled)

    return stack("masks")[:, :, 0], stack("boxes"), stack("scores"), stack("labels").long()

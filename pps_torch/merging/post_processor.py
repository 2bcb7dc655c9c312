"""Raw heads to panoptic and PPS maps in one module, for deployment inside the graph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pps_torch.formats import PanopticSegmentation
from pps_torch.formats.checks import (
    check_floating,
    check_integer,
    check_ndim,
    check_shape,
    checks_values,
)
from pps_torch.formats.reserved import ABSENT
from pps_torch.merging.boxes import BoxPanopticMerger
from pps_torch.merging.pps import PPSMerger
from pps_torch.ops.upsampled_argmax import upsampled_ids
from pps_torch.specs import EvalSpec


class PPSPostProcessor(nn.Module):
    """Semantic, detection and part heads in, ``(PanopticSegmentation, pps)`` out.

    Logits are upsampled bilinearly (align_corners=False) to the image and the highest channel
    wins, as Detectron2 does; neither C x H x W nor N x H x W is held. Then
    :func:`~pps_torch.merge_panoptic_boxes` and :func:`~pps_torch.merge_pps`.

    Args:
        spec: the :class:`EvalSpec` whose scene ids the outputs carry.
        semantic_ids: scene id that each semantic channel means; -1 for a channel that is no
            class, such as Detectron2's channel "things". Default: ``spec.eval_sids``.
        class_ids: scene id that each class index of the detections means. Default:
            ``spec.things``.
        part_ids: flat part id that each part channel means. Default: 0 (background), then the
            spec's flat ids in rising order.
        mask_threshold, score_threshold, overlap_threshold, stuff_area_limit: as in
            :func:`~pps_torch.merge_panoptic_boxes`.
        validate: refuse NaN, and class indices that mean nothing. Default: on the CPU only;
            unchecked, such a detection is dropped, and a NaN logit never wins.
        backend: as in :func:`~pps_torch.merge_panoptic`.

    Raises:
        ValueError: for a scene id or a flat part id that the spec does not have.

    Example:
        >>> import torch
        >>> spec = EvalSpec.load("cpp_default")
        >>> post_process = PPSPostProcessor(spec)
        >>> panoptic, pps = post_process(
        ...     torch.randn(2, 19, 16, 32), torch.rand(2, 5, 28, 28), torch.rand(2, 5, 4) * 64,
        ...     torch.rand(2, 5), torch.randint(8, (2, 5)), torch.randn(2, 24, 16, 32), (64, 128))
        >>> pps.shape, pps.dtype
        (torch.Size([2, 3, 64, 128]), torch.int32)
    """

    semantic_ids: Tensor
    class_ids: Tensor
    part_ids: Tensor

    def __init__(
        self,
        spec: EvalSpec,
        *,
        semantic_ids: Sequence[int] | None = None,
        class_ids: Sequence[int] | None = None,
        part_ids: Sequence[int] | None = None,
        mask_threshold: float = 0.5,
        score_threshold: float = 0.5,
        overlap_threshold: float = 0.5,
        stuff_area_limit: float = 4096,
        validate: bool | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        semantic_ids = spec.eval_sids if semantic_ids is None else tuple(semantic_ids)
        class_ids = spec.things if class_ids is None else tuple(class_ids)
        flat_ids = {0, *spec.eval_sid_pid_to_flat.values()}
        part_ids = tuple(sorted(flat_ids) if part_ids is None else part_ids)
        _refuse_unknown("semantic_ids", semantic_ids, {-1, *spec.eval_sids})
        _refuse_unknown("class_ids", class_ids, set(spec.things))
        _refuse_unknown("part_ids", part_ids, flat_ids)
        for name, ids in (
            ("semantic_ids", semantic_ids),
            ("class_ids", class_ids),
            ("part_ids", part_ids),
        ):
            self.register_buffer(name, torch.tensor(ids, dtype=torch.int32), persistent=False)
        self.merge_panoptic = BoxPanopticMerger(
            spec.stuff,
            mask_threshold=mask_threshold,
            score_threshold=score_threshold,
            overlap_threshold=overlap_threshold,
            stuff_area_limit=stuff_area_limit,
            validate=validate,
            backend=backend,
        )
        self.validate = validate
        self.backend = backend
        self.merge_pps = PPSMerger(spec, backend=backend)

    def forward(
        self,
        sem_seg_logits: Tensor,
        mask_probs: Tensor,
        boxes: Tensor,
        scores: Tensor,
        class_indices: Tensor,
        part_logits: Tensor,
        image_size: tuple[int, int],
    ) -> tuple[PanopticSegmentation, Tensor]:
        """Post-processes one image or a batch.

        Args:
            sem_seg_logits: ``(*B, C, h, w)`` float, any stride.
            mask_probs: ``(*B, N, M, M)`` float, 0..1; boxes: ``(*B, N, 4)`` float, xyxy pixels of
                the output; scores: ``(*B, N)``; class_indices: ``(*B, N)`` int. Pad a batch with
                score 0.
            part_logits: ``(*B, P, h', w')`` float, any stride.
            image_size: ``(H, W)`` of the outputs.

        Returns:
            the :class:`PanopticSegmentation` and the PPS map ``(*B, 3, H, W)`` int32.
        """
        batch = sem_seg_logits.shape[:-3]
        check_shape("class_indices", class_indices, (*batch, *scores.shape[-1:]))
        check_shape("part_logits", part_logits, (*batch, *part_logits.shape[-3:]))
        self._check_logits("sem_seg_logits", sem_seg_logits, self.semantic_ids)
        self._check_logits("part_logits", part_logits, self.part_ids)
        pred_classes = self._pred_classes(class_indices)
        panoptic = self.merge_panoptic(
            self._best_ids(sem_seg_logits, self.semantic_ids, image_size),
            mask_probs,
            boxes,
            scores,
            pred_classes,
        )
        # Only now, when the semantic map is gone: full-size maps decide the peak memory.
        part_seg = self._best_ids(part_logits, self.part_ids, image_size)
        return panoptic, self.merge_pps(panoptic, part_seg)

    def _check_logits(self, name: str, logits: Tensor, ids: Tensor) -> None:
        check_floating(name, logits)
        check_ndim(name, logits, 3, "(*B, C, h, w)")
        if logits.shape[-3] != len(ids):
            raise ValueError(f"{name}: expected {len(ids)} channels, got {logits.shape[-3]}")
        if checks_values(self.validate, logits) and bool(logits.isnan().any()):
            raise ValueError(f"{name}: expected numbers, found NaN")

    def _best_ids(self, logits: Tensor, ids: Tensor, size: tuple[int, int]) -> Tensor:
        """The id of the highest channel at each pixel."""
        batch = logits.shape[:-3]
        logits = logits.reshape(batch.numel(), *logits.shape[-3:])
        return upsampled_ids(logits, ids, size, self.backend).view(*batch, *size)

    def _pred_classes(self, class_indices: Tensor) -> Tensor:
        """Scene ids of class indices; -1, which the merge drops, for those that mean nothing."""
        check_integer("class_indices", class_indices)
        is_known = (class_indices >= 0) & (class_indices < len(self.class_ids))
        if checks_values(self.validate, class_indices) and not bool(is_known.all()):
            raise ValueError(
                f"class_indices: expected 0..{len(self.class_ids) - 1}, found "
                f"{int(class_indices.min())}..{int(class_indices.max())}"
            )
        scene_ids = self.class_ids[torch.where(is_known, class_indices, 0).long()]
        return torch.where(is_known, scene_ids, ABSENT)


def _refuse_unknown(name: str, ids: Sequence[int], known: set[int]) -> None:
    unknown = [value for value in ids if value not in known]
    if unknown:
        raise ValueError(f"{name}: expected ids of the spec, found {unknown}")

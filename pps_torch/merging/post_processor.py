"""The post-processor of deployed models: raw heads to panoptic and PPS maps in one module."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pps_torch.checks import check_floating, check_integer, check_shape, check_size
from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.merging.boxes import BoxPanopticMerger
from pps_torch.merging.channel_ids import (
    and_absent,
    as_channel_ids,
    as_part_ids,
    as_semantic_ids,
    check_logits,
    ids_of_indices,
)
from pps_torch.merging.module_repr import format_settings
from pps_torch.merging.pps import PPSMerger
from pps_torch.ops.painting.upsampled_ids import upsampled_ids
from pps_torch.specs import EvalSpec, check_eval_spec


class PPSPostProcessor(TensorHolder):
    """Module that turns semantic, detection and part heads into panoptic and PPS maps.

    Logits are upsampled bilinearly (align_corners=False) to the image and the highest channel
    wins, as Detectron2 does; neither C x H x W nor N x H x W is held. What follows is
    [`merge_panoptic_boxes`][pps_torch.merge_panoptic_boxes] and, with part logits,
    [`merge_pps`][pps_torch.merge_pps].

    Args:
        spec: the `EvalSpec` whose scene ids the outputs carry.
        semantic_ids: scene id that each semantic channel means; -1 for a channel that is no
            class, such as Detectron2's channel "things". Default: `spec.eval_sids`.
        class_ids: scene id that each class index of the detections means. Default:
            `spec.things`.
        part_ids: flat part id that each part channel means. Default: 0 (background), then the
            spec's flat ids in rising order.
        mask_threshold, score_threshold, overlap_threshold, stuff_area_limit: as in
            [`merge_panoptic_boxes`][pps_torch.merge_panoptic_boxes].
        validate: refuse NaN, and class indices that mean nothing. Default: on the CPU only;
            unchecked, such a detection is dropped, and NaN in logits counts as -inf.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Raises:
        TypeError: for ids that are no ints.
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
        check_eval_spec("spec", spec)
        classes = spec.things if class_ids is None else class_ids
        self._hold_tables(
            semantic_ids=as_semantic_ids(semantic_ids, spec),
            class_ids=as_channel_ids("class_ids", classes, spec.things),
            part_ids=as_part_ids(part_ids, spec),
        )
        self._hold_tables(class_ids_and_absent=and_absent(self.tables["class_ids"]))
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
        self.merge_pps = PPSMerger(spec, validate=validate, backend=backend)

    def forward(
        self,
        sem_seg_logits: Tensor,
        mask_probs: Tensor,
        boxes: Tensor,
        scores: Tensor,
        class_indices: Tensor,
        part_logits: Tensor | None,
        image_size: tuple[int, int],
    ) -> tuple[PanopticSegmentation, Tensor | None]:
        """Post-process one image or a batch.

        Args:
            sem_seg_logits: `(*B, C, h, w)` float, any stride.
            mask_probs: `(*B, N, M, M)` float, 0..1, each in its box's frame.
            boxes: `(*B, N, 4)` float, xyxy in pixels of the output.
            scores: `(*B, N)` float, 0..1; pad a batch with instances of score
                -inf, or any below the threshold.
            class_indices: `(*B, N)` int.
            part_logits: `(*B, P, h', w')` float, any stride; None without a part network.
            image_size: `(H, W)` of the outputs.

        Returns:
            the `PanopticSegmentation` and the PPS map `(*B, 3, H, W)` int32, None without parts.

        Raises:
            TypeError, ValueError: for a wrong dtype, shape, device or size, and see `validate`.
        """
        check_size("image_size", image_size)
        for name, value in (("sem_seg_logits", sem_seg_logits), ("scores", scores)):
            check_floating(name, value)
        check_integer("class_indices", class_indices)
        batch = sem_seg_logits.shape[:-3]
        validate, backend = self.validate, self.backend
        device = sem_seg_logits.device
        semantic_ids = self._table_on("semantic_ids", device)
        class_ids = self._table_on("class_ids_and_absent", device)
        part_ids = self._table_on("part_ids", device)
        check_logits("sem_seg_logits", sem_seg_logits, batch, semantic_ids, validate=validate)
        if part_logits is not None:
            check_logits("part_logits", part_logits, batch, part_ids, validate=validate)
        check_shape("class_indices", class_indices, (*batch, *scores.shape[-1:]))
        panoptic = self.merge_panoptic(
            upsampled_ids(sem_seg_logits, semantic_ids, image_size, backend=backend),
            mask_probs,
            boxes,
            scores,
            ids_of_indices("class_indices", class_indices, class_ids, validate=validate),
        )
        if part_logits is None:
            return panoptic, None
        # Only now, when the semantic map is gone: full-size maps decide the peak memory.
        part_seg = upsampled_ids(part_logits, part_ids, image_size, backend=backend)
        return panoptic, self.merge_pps(panoptic, part_seg)

    def extra_repr(self) -> str:
        """Format the settings that the merges inside do not show, as the constructor takes them."""
        ids = ("semantic_ids", "class_ids", "part_ids")
        return format_settings(self, *ids, "validate", "backend")

"""The heuristic merge of instance masks and a semantic map (panopticapi, Detectron2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pps_torch.checks import check_bool, check_device, check_shape
from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.merging.category_ids import (
    as_category_ids,
    as_classes,
    as_id_tensor,
    with_category_ids,
)
from pps_torch.merging.instances import check_instances, check_mask_runs, check_settings
from pps_torch.merging.module_repr import format_settings
from pps_torch.ops.backend import check_backend
from pps_torch.ops.painting.batch_dims import unflatten_batch
from pps_torch.ops.painting.merge_masks import merge_masks
from pps_torch.ops.painting.merge_runs import merge_runs


def merge_panoptic(
    sem_seg: Tensor,
    pred_masks: Tensor,
    scores: Tensor,
    pred_classes: Tensor,
    *,
    stuff_ids: Sequence[int] | Tensor,
    score_threshold: float = 0.5,
    overlap_threshold: float = 0.5,
    stuff_area_limit: float = 4096,
    category_ids: Sequence[int] | Tensor | None = None,
    validate: bool | None = None,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Merge instance masks and a semantic map into a panoptic map.

    The rule is that of panopticapi's `combine_semantic_and_instance_predictions` (section 7 of
    arXiv 1801.00868), which Detectron2's `combine_semantic_and_instance_outputs` follows.
    Instances are taken by falling score, ties by index. One is dropped when its score is below
    `score_threshold`, when kept instances cover more than `overlap_threshold` of its full mask,
    or when no pixel is left to it. What is left goes to the stuff classes.

    Args:
        sem_seg: `(*B, H, W)`, any integer dtype: semantic labels. Labels that are not in
            `stuff_ids` (things, void, unknown ones) become void.
        pred_masks: `(*B, N, H, W)` bool.
        scores: `(*B, N)` float, 0..1.
        pred_classes: `(*B, N)`, any integer dtype: category ids. One of `stuff_ids` makes a thing
            as any other, and no part of that stuff, as in both references: Detectron2 numbers
            things and stuff apart, so that equal numbers are two classes.
        stuff_ids: category ids of stuff, in the order that their segments shall have. A list
            is copied to the inputs' device, and the first call there waits for the copy;
            `PanopticMerger` holds a tensor.
        score_threshold: fraction; a score equal to it stays.
        overlap_threshold: fraction; an overlap equal to it stays.
        stuff_area_limit: pixels that a stuff segment needs at least.
        category_ids: the category id of each class index 0..C-1. Then `sem_seg`, `pred_classes`
            and `stuff_ids` are class indices, and the result has category ids. Default: all are
            category ids.
        validate: refuse NaN scores, negative classes or such without a category, and a tensor
            `stuff_ids` with negative or equal ids. Default: on the CPU only; unchecked, such an
            instance is dropped.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Returns:
        `PanopticSegmentation` with a capacity of N + len(stuff_ids) segments: kept
        instances by rank, then stuff.

    Raises:
        TypeError, ValueError: for a wrong dtype, shape or threshold, naming the argument.

    Example:
        >>> import torch
        >>> sem_seg = torch.full((4, 4), 7)
        >>> mask = torch.zeros(1, 4, 4, dtype=torch.bool)
        >>> mask[0, :2] = True
        >>> merged = merge_panoptic(sem_seg, mask, torch.tensor([0.9]), torch.tensor([26]),
        ...                         stuff_ids=[7], stuff_area_limit=8)
        >>> merged.panoptic_seg[:, 0].tolist(), merged.category_ids.tolist()
        ([1, 1, 2, 2], [26, 7])

        The same from class indices, 0 for road and 1 for car:

        >>> merge_panoptic(sem_seg - 7, mask, torch.tensor([0.9]), torch.tensor([1]), stuff_ids=[0],
        ...                stuff_area_limit=8, category_ids=[7, 26]).category_ids.tolist()
        [26, 7]
    """
    check_settings(score_threshold, overlap_threshold, stuff_area_limit)
    check_instances(scores, pred_classes, sem_seg, validate=validate)
    check_bool("pred_masks", pred_masks)
    check_shape("pred_masks", pred_masks, (*scores.shape, *sem_seg.shape[-2:]))
    check_device("pred_masks", pred_masks, sem_seg)

    pred_classes, stuff_ids, category_ids = as_classes(
        pred_classes, stuff_ids, category_ids, validate=validate
    )
    merged = merge_masks(
        pred_masks,
        scores,
        pred_classes,
        sem_seg,
        stuff_ids,
        score_threshold=score_threshold,
        overlap_threshold=overlap_threshold,
        stuff_area_limit=stuff_area_limit,
        backend=backend,
    )
    return with_category_ids(merged, category_ids)


class PanopticMerger(TensorHolder):
    """Module that merges instance masks and a semantic map into a panoptic map.

    Made with the settings of [`merge_panoptic`][pps_torch.merge_panoptic];
    `stuff_ids` and `category_ids` move with the module.

    Example:
        >>> PanopticMerger([7, 8], stuff_area_limit=2048)  # doctest: +NORMALIZE_WHITESPACE
        PanopticMerger(stuff_ids=[7, 8], score_threshold=0.5, overlap_threshold=0.5,
        stuff_area_limit=2048, category_ids=None, validate=None, backend='auto')
    """

    stuff_ids: Tensor
    category_ids: Tensor | None

    def __init__(
        self,
        stuff_ids: Sequence[int],
        *,
        score_threshold: float = 0.5,
        overlap_threshold: float = 0.5,
        stuff_area_limit: float = 4096,
        category_ids: Sequence[int] | None = None,
        validate: bool | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        check_settings(score_threshold, overlap_threshold, stuff_area_limit)
        check_backend(backend)
        cpu = torch.device("cpu")
        self._hold_tables(
            stuff_ids=as_id_tensor("stuff_ids", stuff_ids, cpu),
            category_ids=as_category_ids(category_ids, cpu),
        )
        self.score_threshold = score_threshold
        self.overlap_threshold = overlap_threshold
        self.stuff_area_limit = stuff_area_limit
        self.validate = validate
        self.backend = backend

    def forward(
        self, sem_seg: Tensor, pred_masks: Tensor, scores: Tensor, pred_classes: Tensor
    ) -> PanopticSegmentation:
        """Merge one image or a batch.

        The arguments are those of [`merge_panoptic`][pps_torch.merge_panoptic].
        """
        return merge_panoptic(
            sem_seg,
            pred_masks,
            scores,
            pred_classes,
            stuff_ids=self.stuff_ids,
            score_threshold=self.score_threshold,
            overlap_threshold=self.overlap_threshold,
            stuff_area_limit=self.stuff_area_limit,
            category_ids=self.category_ids,
            validate=self.validate,
            backend=self.backend,
        )

    @torch.no_grad()
    def merge_runs(
        self,
        sem_seg: Tensor,
        mask_runs: Sequence[Tensor],
        scores: Tensor,
        pred_classes: Tensor,
        *,
        columns_first: bool = False,
    ) -> PanopticSegmentation:
        """Merge one image whose masks are runs of pixels, as run-length codes hold them.

        The result is that of the masks; none of them is made. On the CPU only.

        Args:
            sem_seg, scores, pred_classes: as for
                [`merge_panoptic`][pps_torch.merge_panoptic], of one image.
            mask_runs: N masks `(K, 2)` int64, the first pixel of each run and the one behind its
                last, rising; pixels are numbered row by row.
            columns_first: pixels are numbered column by column, as COCO's run-length codes do.

        Raises:
            TypeError, ValueError: as for `merge_panoptic`; for runs that are none.

        Example:
            >>> merger = PanopticMerger([7], stuff_area_limit=1)
            >>> road, scores, car = torch.full((2, 2), 7), torch.ones(1), torch.tensor([26])
            >>> merger.merge_runs(road, [torch.tensor([[1, 3]])], scores, car).panoptic_seg
            tensor([[2, 1],
                    [1, 2]], dtype=torch.int32)
        """
        check_instances(scores, pred_classes, sem_seg, validate=self.validate)
        check_shape("sem_seg", sem_seg, tuple(sem_seg.shape[-2:]))
        check_mask_runs(mask_runs, scores.shape[0], sem_seg)
        pred_classes, stuff_ids, category_ids = as_classes(
            pred_classes, self.stuff_ids, self.category_ids, validate=self.validate
        )
        merged = merge_runs(
            mask_runs,
            scores[None],
            pred_classes[None],
            sem_seg[None],
            stuff_ids,
            columns_first=columns_first,
            score_threshold=self.score_threshold,
            overlap_threshold=self.overlap_threshold,
            stuff_area_limit=self.stuff_area_limit,
        )
        return unflatten_batch(with_category_ids(merged, category_ids), ())

    def extra_repr(self) -> str:
        """Format the settings, as the constructor takes them."""
        heuristic = ("score_threshold", "overlap_threshold", "stuff_area_limit")
        return format_settings(self, "stuff_ids", *heuristic, "category_ids", "validate", "backend")

"""The merge of mask-classification queries, as Mask2Former's panoptic inference does it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_floating,
    check_fraction,
    check_ndim,
    check_not_empty,
    check_shape,
    check_size,
    checks_values,
)
from pps_torch.formats import PanopticSegmentation
from pps_torch.held_tensors import TensorHolder
from pps_torch.merging.category_ids import as_category_ids, as_id_tensor, with_category_ids
from pps_torch.merging.module_repr import format_settings
from pps_torch.merging.painted_queries import PAINTS, paint_queries
from pps_torch.ops.backend import check_backend
from pps_torch.ops.painting.batch_dims import flatten_batch, unflatten_batch
from pps_torch.ops.painting.contract import INFINITE
from pps_torch.ops.painting.query_segments import kept_segments, query_segments
from pps_torch.ops.painting.upsample_channel import (
    at_least_float32,
    make_finite,
    upsample_planes,
)


@torch.no_grad()
def merge_panoptic_queries(
    class_logits: Tensor,
    mask_logits: Tensor,
    *,
    thing_ids: Sequence[int] | Tensor,
    object_mask_threshold: float = 0.8,
    min_kept_fraction: float = 0.8,
    out_size: tuple[int, int] | None = None,
    category_ids: Sequence[int] | Tensor | None = None,
    paint: str = "confident",
    mask_threshold: float = 0.5,
    validate: bool | None = None,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Merge the queries of a mask classification model into a panoptic map.

    The rule is that of Mask2Former's `panoptic_inference`. A query takes part when its best
    class is not "no object" and has a probability above `object_mask_threshold`. Each pixel
    is won by the query with the highest class probability times mask probability, and belongs to
    it if that mask probability is at least 0.5. A query is dropped when the pixels that it wins
    are fewer than `min_kept_fraction` times its pixels with mask probability >= 0.5. Stuff
    queries of one class share a segment.

    Args:
        class_logits: `(*B, Q, C + 1)` float; the last class is "no object".
        mask_logits: `(*B, Q, h, w)` float.
        thing_ids: class indices 0..C-1 of things, as ints or a tensor.
        object_mask_threshold: probability; the class probability must be strictly above it.
        min_kept_fraction: fraction (Mask2Former's `OVERLAP_THRESHOLD`); equal to it stays.
        out_size: `(H, W)`: upsample the logits bilinearly (align_corners=False), one query at
            a time. Default: the size of the logits.
        category_ids: the category id of each class index; then the result has category ids.
        paint: what a query paints of the pixels that it wins: `"confident"`, those with a mask
            probability of at least `mask_threshold`, or `"argmax"`, all of them, as mmdetection
            does by default (`filter_low_score=False`).
        mask_threshold: mask probability from which on a pixel is in a mask. With another one than
            0.5, or with `"argmax"`, plain torch runs whatever the backend is, and takes memory for
            Q masks of the size of the result.
        validate: refuse NaN, and a tensor `thing_ids` with wrong indices. Default: on the CPU only;
            unchecked, NaN counts as -inf.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton]. The two versions
            may differ where products of probabilities, or a probability and 0.5, are equal up to
            rounding.

    Returns:
        `PanopticSegmentation` with a capacity of Q segments, in the order of the queries.
        A segment's score is the class probability of its (first) query; `category_ids` are
        class indices, unless the argument of that name says what they mean.

    Raises:
        TypeError, ValueError: for a wrong dtype, shape, size, threshold or index, naming the
            argument.

    Example:
        >>> import torch
        >>> class_logits = torch.tensor([[9.0, 0.0, 0.0]])   # class 0 of 2, "no object" last
        >>> mask_logits = torch.tensor([[[5.0, -5.0]]])
        >>> merge_panoptic_queries(class_logits, mask_logits, thing_ids=[0]).panoptic_seg
        tensor([[1, 0]], dtype=torch.int32)
    """
    _check_settings(object_mask_threshold, min_kept_fraction, paint, mask_threshold)
    _check_heads(class_logits, mask_logits, validate=validate)
    num_labels = class_logits.shape[-1]
    thing_ids = as_id_tensor(
        "thing_ids",
        thing_ids,
        class_logits.device,
        num_classes=num_labels - 1,
        validate=validate,
    )
    category_ids = as_category_ids(
        category_ids, class_logits.device, num_classes=num_labels - 1, validate=validate
    )
    if out_size is not None:
        check_size("out_size", out_size)

    height, width = mask_logits.shape[-2:] if out_size is None else out_size
    scores, classes = _class_probabilities(class_logits).max(-1)
    if paint == "confident" and mask_threshold == 0.5:
        merged = query_segments(
            mask_logits,
            scores,
            classes,
            thing_ids,
            (height, width),
            num_classes=num_labels - 1,
            object_mask_threshold=object_mask_threshold,
            min_kept_fraction=min_kept_fraction,
            backend=backend,
        )
    else:
        check_backend(backend)
        merged = _painted_segments(
            mask_logits,
            scores,
            classes,
            (scores > object_mask_threshold) & (classes != num_labels - 1),
            thing_ids,
            (height, width),
            min_kept_fraction=min_kept_fraction,
            paint=paint,
            mask_threshold=mask_threshold,
        )
    return with_category_ids(merged, category_ids)


class QueryPanopticMerger(TensorHolder):
    """Module that merges mask-classification queries into a panoptic map.

    Made with the settings of [`merge_panoptic_queries`][pps_torch.merge_panoptic_queries];
    `thing_ids` and `category_ids` move with the module.
    """

    thing_ids: Tensor
    category_ids: Tensor | None

    def __init__(
        self,
        thing_ids: Sequence[int],
        *,
        object_mask_threshold: float = 0.8,
        min_kept_fraction: float = 0.8,
        category_ids: Sequence[int] | None = None,
        paint: str = "confident",
        mask_threshold: float = 0.5,
        validate: bool | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        _check_settings(object_mask_threshold, min_kept_fraction, paint, mask_threshold)
        check_backend(backend)
        cpu = torch.device("cpu")
        self._hold_tables(
            thing_ids=as_id_tensor("thing_ids", thing_ids, cpu),
            category_ids=as_category_ids(category_ids, cpu),
        )
        self.object_mask_threshold = object_mask_threshold
        self.min_kept_fraction = min_kept_fraction
        self.paint = paint
        self.mask_threshold = mask_threshold
        self.validate = validate
        self.backend = backend

    def forward(
        self, class_logits: Tensor, mask_logits: Tensor, out_size: tuple[int, int] | None = None
    ) -> PanopticSegmentation:
        """Merge one image or a batch.

        The arguments are those of [`merge_panoptic_queries`][pps_torch.merge_panoptic_queries].
        """
        return merge_panoptic_queries(
            class_logits,
            mask_logits,
            thing_ids=self.thing_ids,
            object_mask_threshold=self.object_mask_threshold,
            min_kept_fraction=self.min_kept_fraction,
            out_size=out_size,
            category_ids=self.category_ids,
            paint=self.paint,
            mask_threshold=self.mask_threshold,
            validate=self.validate,
            backend=self.backend,
        )

    def extra_repr(self) -> str:
        """Format the settings, as the constructor takes them."""
        thresholds = ("object_mask_threshold", "min_kept_fraction")
        rest = ("category_ids", "paint", "mask_threshold", "validate", "backend")
        return format_settings(self, "thing_ids", *thresholds, *rest)


def _check_settings(
    object_mask_threshold: float, min_kept_fraction: float, paint: str, mask_threshold: float
) -> None:
    """Raise TypeError or ValueError for thresholds and rules that mean nothing."""
    check_fraction("object_mask_threshold", object_mask_threshold)
    check_fraction("min_kept_fraction", min_kept_fraction)
    check_fraction("mask_threshold", mask_threshold)
    if paint not in PAINTS:
        raise ValueError(f"paint: expected one of {PAINTS}, found {paint!r}")


def _check_heads(class_logits: Tensor, mask_logits: Tensor, *, validate: bool | None) -> None:
    """Raise TypeError or ValueError for heads of a wrong dtype, device or shape, and for NaN."""
    check_floating("class_logits", class_logits)
    check_floating("mask_logits", mask_logits)
    check_ndim("class_logits", class_logits, 2, "(*B, Q, C + 1)")
    check_ndim("mask_logits", mask_logits, 3, "(*B, Q, h, w)")
    check_shape("mask_logits", mask_logits, (*class_logits.shape[:-1], *mask_logits.shape[-2:]))
    check_device("mask_logits", mask_logits, class_logits)
    check_not_empty("class_logits", class_logits, 1, "a label")
    check_not_empty("mask_logits", mask_logits, 2, "a pixel")
    if checks_values(validate, class_logits):
        if bool(class_logits.isnan().any()) or bool(mask_logits.isnan().any()):
            raise ValueError("class_logits, mask_logits: expected numbers, found NaN")


def _painted_segments(
    mask_logits: Tensor,
    scores: Tensor,
    classes: Tensor,
    takes_part: Tensor,
    thing_ids: Tensor,
    size: tuple[int, int],
    *,
    min_kept_fraction: float,
    paint: str,
    mask_threshold: float,
) -> PanopticSegmentation:
    """Make segments of queries as `query_segments` does, where they paint by another rule."""
    batch, mask_logits = scores.shape[:-1], flatten_batch(mask_logits, 3)
    scores, classes, takes_part = (flatten_batch(x, 1) for x in (scores, classes, takes_part))
    areas = paint_queries(
        upsample_planes(make_finite(mask_logits), size).sigmoid(),
        scores,
        takes_part,
        paint=paint,
        mask_threshold=mask_threshold,
    )
    return unflatten_batch(
        kept_segments(areas, classes, scores, thing_ids, min_kept_fraction), batch
    )


def _class_probabilities(class_logits: Tensor) -> Tensor:
    """Compute the softmax over classes, at least float32; NaN where no logit is above -inf.

    NaN counts as -inf, and +inf as the largest logit there is.
    """
    logits = at_least_float32(class_logits)
    return logits.nan_to_num(nan=-torch.inf, posinf=INFINITE, neginf=-torch.inf).softmax(-1)

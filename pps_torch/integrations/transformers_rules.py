"""The rules by which the image processors of transformers merge queries, on tensors.

They differ from Mask2Former's own, from which they come, and from family to family: which masks are
resized when, what a kept query paints, and whether masks are weighted by scores before they are
compared with the threshold.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.formats import PanopticSegmentation
from pps_torch.graph_capture import is_on_host
from pps_torch.merging.painted_queries import paint_queries
from pps_torch.ops.painting.batch_dims import unflatten_batch
from pps_torch.ops.painting.query_segments import segments_of_queries
from pps_torch.ops.painting.upsample_channel import at_least_float32

#: The size to which Mask2Former's processor brings all masks first.
MASK2FORMER_SIZE = (384, 384)

# The names of class logits and mask logits in the outputs of each family of models.
_LOGITS = (("class_queries_logits", "masks_queries_logits"), ("logits", "pred_masks"))


class Thresholds(NamedTuple):
    """The thresholds of a processor's method, by its names.

    Attributes:
        threshold: class probability that a query must exceed.
        mask_threshold: see `transformers_segments`.
        overlap_mask_area_threshold: fraction of its mask that a query must win, exclusive.
    """

    threshold: float
    mask_threshold: float
    overlap_mask_area_threshold: float


def query_logits(outputs: Any) -> tuple[Tensor, Tensor]:
    """Find the class logits and mask logits in a model's outputs.

    Args:
        outputs: the output object of the model.

    Returns:
        class logits `(B, Q, C + 1)`, whose last class is "no object", and mask logits
        `(B, Q, h, w)`.

    Raises:
        TypeError: the outputs have no such logits.
    """
    for names in _LOGITS:
        class_logits, mask_logits = (getattr(outputs, name, None) for name in names)
        if isinstance(class_logits, Tensor) and isinstance(mask_logits, Tensor):
            return class_logits, mask_logits
    raise TypeError(
        f"outputs: expected {' or '.join(' and '.join(names) for names in _LOGITS)}, "
        f"found {type(outputs).__name__}"
    )


def transformers_segments(
    class_logits: Tensor,
    mask_probs: Tensor,
    label_ids_to_fuse: Collection[int],
    thresholds: Thresholds,
    *,
    paint: str,
) -> PanopticSegmentation:
    """Merge one image as transformers does, with unique ids.

    Args:
        class_logits: `(Q, C + 1)`; the last class is "no object".
        mask_probs: `(Q, H, W)`, at the size of the result.
        label_ids_to_fuse: label ids of stuff.
        thresholds: of the method.
        paint: `"argmax"`, as in Mask2Former, MaskFormer, OneFormer and DETR, where the threshold of
            masks is compared with the product of score and probability, or `"confident"`, as in
            EoMT and VideoMT, where it is compared with the probability.
    """
    num_labels = class_logits.shape[-1] - 1
    scores, classes, takes_part = (x[None] for x in _best_classes(class_logits, thresholds))
    painted = paint_queries(
        mask_probs[None],
        scores,
        takes_part,
        paint=paint,
        mask_threshold=thresholds.mask_threshold,
        weighs_masks=paint == "argmax",
    )
    kept_fraction = painted.won / painted.masks  # float32, as there
    is_segment = (painted.owned > 0) & (painted.masks > 0)
    is_segment &= kept_fraction.double() > thresholds.overlap_mask_area_threshold
    things = [label for label in range(num_labels) if label not in label_ids_to_fuse]
    merged = segments_of_queries(
        painted.owner,
        painted.owned,
        is_segment,
        classes,
        scores,
        torch.tensor(things, dtype=torch.int64, device=classes.device),
    )
    return unflatten_batch(merged, ())


class _BestClasses(NamedTuple):
    """The probability and the label of the best class of each query, and whether it takes part."""

    scores: Tensor
    classes: Tensor
    takes_part: Tensor


def _best_classes(class_logits: Tensor, thresholds: Thresholds) -> _BestClasses:
    """Find the best classes of queries `(Q, C + 1)`, `(Q,)` each."""
    scores, classes = class_logits.softmax(-1).max(-1)
    takes_part = (scores > thresholds.threshold) & (classes != class_logits.shape[-1] - 1)
    return _BestClasses(scores, classes, takes_part)


def merge_as_mask2former(
    outputs: Any,
    label_ids_to_fuse: Collection[int],
    thresholds: Thresholds,
    target_sizes: Sequence[tuple[int, int]] | None,
) -> list[PanopticSegmentation]:
    """Merge each image as Mask2Former, MaskFormer, OneFormer and DETR; weak pixels are painted.

    Probabilities are resized, not logits; Mask2Former's logits are resized before, and OneFormer
    uses antialiasing. On the CPU only the masks of queries that take part are, as how torch rounds
    there depends on how many planes it resizes at once.
    """
    class_logits, mask_logits = query_logits(outputs)
    if is_of_mask2former(outputs):
        mask_logits = F.interpolate(mask_logits, MASK2FORMER_SIZE, mode="bilinear")
    antialias = type(outputs).__name__.startswith("OneFormer")
    merged = []
    for index, (labels, masks) in enumerate(zip(class_logits, mask_logits.sigmoid())):
        if is_on_host(labels):  # elsewhere each plane is resized by itself, and this would wait
            takes_part = _best_classes(labels, thresholds).takes_part
            labels, masks = labels[takes_part], masks[takes_part]
        if target_sizes is not None:
            masks = resized(masks, target_sizes[index], antialias=antialias)
        merged.append(
            transformers_segments(labels, masks, label_ids_to_fuse, thresholds, paint="argmax")
        )
    return merged


def is_of_mask2former(outputs: Any) -> bool:
    """Whether outputs are those of Mask2Former, by the name of their class."""
    return type(outputs).__name__.startswith("Mask2Former")


def resized(planes: Tensor, size: tuple[int, int], *, antialias: bool = False) -> Tensor:
    """Resize `(Q, h, w)` bilinearly; with antialiasing in float32 at least, as torchvision does."""
    if not len(planes):
        return planes.new_zeros(0, *size)
    source = at_least_float32(planes) if antialias else planes
    return F.interpolate(
        source[None], size=tuple(size), mode="bilinear", align_corners=False, antialias=antialias
    )[0].to(planes.dtype)

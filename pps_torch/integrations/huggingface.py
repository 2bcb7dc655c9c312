"""Hugging Face transformers: outputs of panoptic models, ground truth of panoptic data sets.

The outputs of Mask2Former, MaskFormer, OneFormer, EoMT (`class_queries_logits`,
`masks_queries_logits`) and DETR (`logits`, `pred_masks`) are merged by Mask2Former's rule, see
[`merge_panoptic_queries`][pps_torch.merge_panoptic_queries]. The post-processing of transformers
differs in two ways: it weights masks by their score before it compares them with 0.5, and (except
for EoMT) a segment that comes after fused stuff gets an id that is already taken; the latter is
issue 23461 of transformers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.checks import check_size
from pps_torch.formats import PanopticSegmentation, PanopticTarget, rgb_to_ids
from pps_torch.merging import merge_panoptic_queries

if importlib.util.find_spec("transformers") is None:
    raise ImportError("pps_torch.integrations.huggingface needs the library transformers")

# The names of class logits and mask logits in the outputs of each family of models.
_LOGITS = (("class_queries_logits", "masks_queries_logits"), ("logits", "pred_masks"))


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
        f"got {type(outputs).__name__}"
    )


def merge_outputs(
    outputs: Any,
    *,
    thing_ids: Sequence[int] | Tensor,
    out_size: tuple[int, int] | None = None,
    object_mask_threshold: float = 0.8,
    min_kept_fraction: float = 0.8,
    category_ids: Sequence[int] | Tensor | None = None,
    validate: bool | None = None,
    backend: str = "auto",
) -> PanopticSegmentation:
    """Merge a batch of images of one size, without padding, in the graph.

    Args:
        outputs: the output object of the model.
        thing_ids: those of the model's label ids that are things.
        out_size: `(H, W)` of the maps. Default: the size of the mask logits.
        category_ids: the data set's category id of each label id of the model.
        object_mask_threshold, min_kept_fraction, validate, backend: as in
            [`merge_panoptic_queries`][pps_torch.merge_panoptic_queries].

    Returns:
        the `PanopticSegmentation` of the batch; without the argument `category_ids` its categories
        are the model's label ids.

    Raises:
        TypeError, ValueError: for outputs without logits, and as `merge_panoptic_queries`.

    Example:
        >>> from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation
        >>> from pps_torch.integrations.huggingface import merge_outputs
        >>> config = Mask2FormerConfig(num_labels=3, num_queries=8, backbone_config={
        ...     "model_type": "swin", "depths": [1, 1, 1, 1], "out_features": [
        ...         "stage1", "stage2", "stage3", "stage4"]})
        >>> model = Mask2FormerForUniversalSegmentation(config).eval()
        >>> outputs = model(pixel_values=torch.rand(2, 3, 64, 96))
        >>> merge_outputs(outputs, thing_ids=[0, 1], out_size=(64, 96)).panoptic_seg.shape
        torch.Size([2, 64, 96])
    """
    class_logits, mask_logits = query_logits(outputs)
    return merge_panoptic_queries(
        class_logits,
        mask_logits,
        thing_ids=thing_ids,
        object_mask_threshold=object_mask_threshold,
        min_kept_fraction=min_kept_fraction,
        category_ids=category_ids,
        out_size=out_size,
        validate=validate,
        backend=backend,
    )


def merge_outputs_per_image(
    outputs: Any,
    *,
    thing_ids: Sequence[int] | Tensor,
    target_sizes: Sequence[tuple[int, int]] | None = None,
    image_sizes: Sequence[tuple[int, int]] | None = None,
    padded_size: tuple[int, int] | None = None,
    object_mask_threshold: float = 0.8,
    min_kept_fraction: float = 0.8,
    category_ids: Sequence[int] | Tensor | None = None,
    validate: bool | None = None,
    backend: str = "auto",
) -> list[PanopticSegmentation]:
    """Merge a batch of images of different sizes, one after the other.

    Args:
        outputs, thing_ids, object_mask_threshold, min_kept_fraction, category_ids, validate,
            backend: as in `merge_outputs`.
        target_sizes: `(H, W)` of each image's map. Default: the size of the image in
            `image_sizes`, or else of the mask logits.
        image_sizes: `(h, w)` of each image within the batch, at the top left, if the processor
            padded the images (`pixel_mask` shows it). The masks of an image are then upsampled to
            the size of the batch and cropped before they are merged, which takes memory for Q masks
            of that size.
        padded_size: `(H, W)` of `pixel_values`; needed with `image_sizes`.

    Returns:
        the `PanopticSegmentation` of each image.

    Raises:
        TypeError, ValueError: for a wrong size or number of sizes, or an image that is larger
            than the batch.
    """
    class_logits, mask_logits = query_logits(outputs)
    num_images = len(class_logits)
    if (image_sizes is None) != (padded_size is None):
        raise ValueError("image_sizes, padded_size: expected both or none")
    if padded_size is not None:
        check_size("padded_size", padded_size)
    _check_sizes("target_sizes", target_sizes, num_images, None)
    _check_sizes("image_sizes", image_sizes, num_images, padded_size)
    merged = []
    for index in range(num_images):
        masks = mask_logits[index]
        if image_sizes is not None:
            height, width = image_sizes[index]
            masks = F.interpolate(masks[None], padded_size, mode="bilinear", align_corners=False)
            masks = masks[0, :, :height, :width]
        merged.append(
            merge_panoptic_queries(
                class_logits[index],
                masks,
                thing_ids=thing_ids,
                object_mask_threshold=object_mask_threshold,
                min_kept_fraction=min_kept_fraction,
                category_ids=category_ids,
                out_size=None if target_sizes is None else target_sizes[index],
                validate=validate,
                backend=backend,
            )
        )
    return merged


def post_process_panoptic_segmentation(
    outputs: Any,
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    label_ids_to_fuse: Collection[int] | None = None,
    target_sizes: Sequence[tuple[int, int]] | None = None,
    *,
    image_sizes: Sequence[tuple[int, int]] | None = None,
    padded_size: tuple[int, int] | None = None,
    category_ids: Sequence[int] | Tensor | None = None,
    validate: bool | None = None,
    backend: str = "auto",
) -> list[dict[str, Any]]:
    """Merge outputs in place of an image processor's method of this name, with unique ids.

    The arguments up to `target_sizes`, their order and their defaults are those of Mask2Former,
    MaskFormer, OneFormer and DETR. The method of EoMT differs: its arguments have another order,
    its threshold is 0.8, it calls the stuff `stuff_classes`, and it removes padding by itself. For
    EoMT, pass the arguments here by name, and `image_sizes` if the images were padded.

    Args:
        outputs: the output object of the model.
        threshold: class probability that a query must exceed.
        mask_threshold: must be 0.5, the mask probability of Mask2Former's rule.
        overlap_mask_area_threshold: fraction of its mask that a query must win.
        label_ids_to_fuse: label ids of stuff. None: every label is a thing.
        target_sizes, image_sizes, padded_size, validate, backend: as in
            `merge_outputs_per_image`.

    Returns:
        for each image `{"segmentation": (H, W) int32, "segments_info": [{"id", "label_id",
        "was_fused", "score"}]}`. Ids count up from 1, and each is listed once. Void is 0, also in
        an image without any segment, where transformers has -1.

    Raises:
        ValueError: for a label id that the model does not have, or another `mask_threshold`.

    Example:
        >>> from transformers.models.mask2former.modeling_mask2former import (
        ...     Mask2FormerForUniversalSegmentationOutput as Output)
        >>> outputs = Output(  # label 0 is sky, label 1 is car, the last is "no object"
        ...     class_queries_logits=torch.tensor([[[0.0, 99, 0], [99, 0, 0]]]),
        ...     masks_queries_logits=torch.tensor([[[[9.0, -9, -9]], [[-9, 9, 9]]]]))
        >>> result = post_process_panoptic_segmentation(outputs, label_ids_to_fuse={0})[0]
        >>> result["segmentation"].tolist(), result["segments_info"][0]
        ([[1, 2, 2]], {'id': 1, 'label_id': 1, 'was_fused': False, 'score': 1.0})
    """
    if mask_threshold != 0.5:
        raise ValueError(f"mask_threshold: expected 0.5, got {mask_threshold}")
    num_labels = query_logits(outputs)[0].shape[-1] - 1
    label_ids_to_fuse = () if label_ids_to_fuse is None else label_ids_to_fuse
    unknown = sorted(set(label_ids_to_fuse) - set(range(num_labels)))
    if unknown:
        raise ValueError(f"label_ids_to_fuse: expected 0..{num_labels - 1}, found {unknown}")
    segmentations = merge_outputs_per_image(
        outputs,
        thing_ids=sorted(set(range(num_labels)) - set(label_ids_to_fuse)),
        target_sizes=target_sizes,
        image_sizes=image_sizes,
        padded_size=padded_size,
        object_mask_threshold=threshold,
        min_kept_fraction=overlap_mask_area_threshold,
        category_ids=category_ids,
        validate=validate,
        backend=backend,
    )
    return [as_transformers_result(segmentation) for segmentation in segmentations]


def as_transformers_result(segmentation: PanopticSegmentation) -> dict[str, Any]:
    """Convert the segmentation of one image into the result of transformers' post-processing.

    The list of segments is made on the host, so this waits for the device.

    Returns:
        a dict as in `post_process_panoptic_segmentation`; `was_fused` is true for stuff.
    """
    infos = segmentation.segments_info()
    scores = segmentation.scores.tolist()
    return {
        "segmentation": segmentation.panoptic_seg,
        "segments_info": [
            {
                "id": info["id"],
                "label_id": info["category_id"],
                "was_fused": not info["isthing"],
                "score": round(score, 6),
            }
            for info, score in zip(infos, scores)
        ],
    }


def target_from_example(
    example: Mapping[str, Any],
    *,
    label_key: str = "label",
    label_ids: Mapping[int, int] | None = None,
    capacity: int | None = None,
) -> PanopticTarget:
    """Read the ground truth in an example of a panoptic data set, as `datasets` yields it.

    Args:
        example: under `label_key` an RGB image of COCO segment ids (a PIL image, array or tensor,
            `(H, W, 3)`); under `segments_info` a list of dicts with `id`, `category_id` and
            optionally `iscrowd`, or one dict with a list for each of these keys.
        label_key: key of the RGB image.
        label_ids: the model's label id of each category id. Default: they are the same.
        capacity: number of rows of the table, at least the number of segments (the default).

    Returns:
        the `PanopticTarget` of the image.

    Raises:
        ValueError: for an image that is not RGB, a category without a label id, or a segment that
            is in the image and not listed, or listed and not in the image.

    Example:
        >>> rgb = torch.tensor([[[1, 0, 0], [0, 1, 0]]])  # ids 1 and 256
        >>> segments = [{"id": 1, "category_id": 7}, {"id": 256, "category_id": 3, "iscrowd": 1}]
        >>> target = target_from_example({"label": rgb, "segments_info": segments})
        >>> target.panoptic_seg.tolist(), target.is_crowd.tolist()
        ([[1, 2]], [False, True])
    """
    for key in (label_key, "segments_info"):
        if key not in example:
            raise ValueError(f"example: expected the key {key!r}, found {sorted(example)}")
    rgb, segments = example[label_key], example["segments_info"]
    rgb = rgb if isinstance(rgb, Tensor) else torch.from_numpy(np.array(rgb))
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"{label_key}: expected shape (H, W, 3), got {tuple(rgb.shape)}")
    if isinstance(segments, Mapping):
        segments = [dict(zip(segments, values)) for values in zip(*segments.values())]
    if label_ids is not None:
        unknown = sorted({info["category_id"] for info in segments} - set(label_ids))
        if unknown:
            raise ValueError(f"label_ids: has no label for the categories {unknown}")
        segments = [{**info, "category_id": label_ids[info["category_id"]]} for info in segments]
    return PanopticTarget.from_segments(rgb_to_ids(rgb), segments, capacity=capacity)


def _check_sizes(
    name: str,
    sizes: Sequence[tuple[int, int]] | None,
    num_images: int,
    largest: tuple[int, int] | None,
) -> None:
    """Raise an error unless there is one `(H, W)` for each image, none above the largest."""
    if sizes is None:
        return
    if len(sizes) != num_images:
        raise ValueError(f"{name}: expected {num_images} sizes, got {len(sizes)}")
    for size in sizes:
        check_size(name, size)
        if largest is not None and (size[0] > largest[0] or size[1] > largest[1]):
            raise ValueError(f"{name}: expected at most {tuple(largest)}, found {tuple(size)}")

"""Hugging Face transformers: outputs of panoptic models, ground truth of panoptic data sets.

The outputs of Mask2Former, MaskFormer, OneFormer, EoMT (`class_queries_logits`,
`masks_queries_logits`) and DETR (`logits`, `pred_masks`) are merged by Mask2Former's rule, see
[`merge_panoptic_queries`][pps_torch.merge_panoptic_queries]. The post-processing of transformers
differs: it weights masks by their score before it compares them with the threshold, and a kept
query paints its weak pixels, too. What has the name of its method here has its rule. Except for
EoMT, a segment that comes after fused stuff gets an id there that is already taken (issue 23461 of
transformers); here ids are always unique.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pps_torch.checks import check_size
from pps_torch.formats import PanopticSegmentation, PanopticTarget, rgb_to_ids
from pps_torch.integrations.libraries import check_installed
from pps_torch.integrations.transformers_rules import (
    MASK2FORMER_SIZE,
    Thresholds,
    is_of_mask2former,
    merge_as_mask2former,
    query_logits,
    resized,
    transformers_segments,
)
from pps_torch.merging import merge_panoptic_queries
from pps_torch.merging.category_ids import as_category_ids, with_category_ids

check_installed("transformers", "pps_torch.integrations.huggingface")


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
    mask_threshold: float = 0.5,
    validate: bool | None = None,
    backend: str = "auto",
) -> list[PanopticSegmentation]:
    """Merge a batch of images of different sizes, one after the other.

    Args:
        outputs, thing_ids, object_mask_threshold, min_kept_fraction, category_ids, validate,
            backend: as in `merge_outputs`.
        mask_threshold: as in [`merge_panoptic_queries`][pps_torch.merge_panoptic_queries].
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
                mask_threshold=mask_threshold,
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
    paint: str = "argmax",
    image_sizes: Sequence[tuple[int, int]] | None = None,
    padded_size: tuple[int, int] | None = None,
    category_ids: Sequence[int] | Tensor | None = None,
    validate: bool | None = None,
    backend: str = "auto",
) -> list[dict[str, Any]]:
    """Merge outputs in place of an image processor's method of this name, with unique ids.

    The arguments up to `target_sizes`, their order and their defaults are those of Mask2Former,
    MaskFormer, OneFormer, DETR and ConditionalDetr. Those of EoMT and VideoMT have another order,
    other defaults and other names: `post_processor_for` takes them as they are.

    Args:
        outputs: the output object of the model.
        threshold: class probability that a query must exceed.
        mask_threshold: mask probability from which on a pixel is in a mask.
        overlap_mask_area_threshold: fraction of its mask that a query must win.
        label_ids_to_fuse: label ids of stuff. None: every label is a thing.
        target_sizes: `(H, W)` of each image's map. Default: 384 x 384 for the outputs of
            Mask2Former, the size of the mask logits for others, as in transformers.
        paint: `"argmax"`, transformers' rule to the pixel: masks are resized in its order, weighted
            before they are compared, and painted with their weak pixels; or `"confident"`,
            Mask2Former's own rule, by which `merge_outputs` merges.
        category_ids: as in `merge_outputs_per_image`.
        image_sizes, padded_size, validate, backend: the same, with `paint="confident"` alone.

    Returns:
        for each image `{"segmentation": (H, W) int32, "segments_info": [{"id", "label_id",
        "was_fused", "score"}]}`. Ids count up from 1, and each is listed once. Void is 0, also in
        an image without any segment, where transformers has -1.

    Raises:
        TypeError: `threshold` is a list, so that the arguments are in the order of EoMT.
        ValueError: for a label id that the model does not have, or an argument that `paint` does
            not take.

    Example:
        >>> from transformers.models.mask2former.modeling_mask2former import (
        ...     Mask2FormerForUniversalSegmentationOutput as Output)
        >>> outputs = Output(  # label 0 is sky, label 1 is car, the last is "no object"
        ...     class_queries_logits=torch.tensor([[[0.0, 99, 0], [99, 0, 0]]]),
        ...     masks_queries_logits=torch.tensor([[[[9.0, -9, -9]], [[-9, 9, 9]]]]))
        >>> result = post_process_panoptic_segmentation(
        ...     outputs, label_ids_to_fuse={0}, target_sizes=[(1, 3)])[0]
        >>> result["segmentation"].tolist(), result["segments_info"][0]
        ([[1, 2, 2]], {'id': 1, 'label_id': 1, 'was_fused': False, 'score': 1.0})
    """
    if isinstance(threshold, Sequence):
        raise TypeError(
            f"threshold: expected a number, found a {type(threshold).__name__}; the second "
            "argument of EoMT and VideoMT is target_sizes: pass arguments by name, or call "
            "post_processor_for(processor), which has the order of that processor"
        )
    class_logits, mask_logits = query_logits(outputs)
    num_labels = class_logits.shape[-1] - 1
    label_ids_to_fuse = () if label_ids_to_fuse is None else label_ids_to_fuse
    unknown = sorted(set(label_ids_to_fuse) - set(range(num_labels)))
    if unknown:
        raise ValueError(f"label_ids_to_fuse: expected 0..{num_labels - 1}, found {unknown}")
    if paint == "argmax":
        if (image_sizes, padded_size, validate, backend) != (None, None, None, "auto"):
            raise ValueError(
                "image_sizes, padded_size, validate, backend: expected none of them with "
                "paint='argmax'; paint='confident' takes them"
            )
        thresholds = Thresholds(threshold, mask_threshold, overlap_mask_area_threshold)
        _check_sizes("target_sizes", target_sizes, len(class_logits), None)
        ids = as_category_ids(category_ids, class_logits.device, num_classes=num_labels)
        merged = merge_as_mask2former(outputs, label_ids_to_fuse, thresholds, target_sizes)
        return [as_transformers_result(with_category_ids(image, ids)) for image in merged]
    if paint != "confident":
        raise ValueError(f"paint: expected 'confident' or 'argmax', found {paint!r}")
    if is_of_mask2former(outputs) and target_sizes is None and image_sizes is None:
        target_sizes = [MASK2FORMER_SIZE] * len(class_logits)
    segmentations = merge_outputs_per_image(
        outputs,
        thing_ids=sorted(set(range(num_labels)) - set(label_ids_to_fuse)),
        target_sizes=target_sizes,
        image_sizes=image_sizes,
        padded_size=padded_size,
        object_mask_threshold=threshold,
        min_kept_fraction=overlap_mask_area_threshold,
        category_ids=category_ids,
        mask_threshold=mask_threshold,
        validate=validate,
        backend=backend,
    )
    return [as_transformers_result(segmentation) for segmentation in segmentations]


def post_processor_for(processor: Any) -> Callable[..., list[dict[str, Any]]]:
    """Make a function in place of a processor's own `post_process_panoptic_segmentation`.

    It takes that method's arguments, in their order and with their defaults, and follows its rule,
    but with unique ids; its result has the same structure.

    Args:
        processor: what `AutoImageProcessor` loads for Mask2Former, MaskFormer, OneFormer, DETR,
            ConditionalDetr or EoMT; VideoMT's video processor; a processor that holds one of these
            as `image_processor`.

    Raises:
        TypeError: the processor has no such method.

    Example:
        >>> from transformers import Mask2FormerImageProcessor
        >>> post_process = post_processor_for(Mask2FormerImageProcessor())
        >>> outputs = {}  # of the model
        >>> post_process(outputs, 0.8, target_sizes=[(480, 640)])    # doctest: +SKIP
    """
    processor = getattr(processor, "image_processor", processor)
    method = getattr(processor, "post_process_panoptic_segmentation", None)
    if method is None:
        raise TypeError(
            "processor: expected one with the method post_process_panoptic_segmentation, found "
            f"{type(processor).__name__}"
        )
    signature = inspect.signature(method)
    # EoMT and VideoMT need target_sizes; the others have a default.
    is_as_eomt = signature.parameters["target_sizes"].default is inspect.Parameter.empty

    def post_process(*args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        if is_as_eomt:
            return _post_process_as_eomt(processor, **given.arguments)
        return post_process_panoptic_segmentation(**given.arguments)

    return post_process


def _post_process_as_eomt(
    processor: Any,
    outputs: Any,
    target_sizes: Sequence[tuple[int, int]],
    *,
    stuff_classes: Collection[int] | None = None,
    label_ids_to_fuse: Collection[int] | None = None,
    size: Mapping[str, int] | None = None,
    **thresholds: float,
) -> list[dict[str, Any]]:
    """Merge as EoMT, which has padded the images to `size`, or as VideoMT, which has not."""
    class_logits, mask_logits = query_logits(outputs)
    _check_sizes("target_sizes", target_sizes, len(class_logits), None)
    if hasattr(processor, "unpad_image"):
        size = processor.size if size is None else size
        whole = size["shortest_edge"], size["longest_edge"] or size["shortest_edge"]
        masks = F.interpolate(mask_logits, whole, mode="bilinear")
        masks = processor.unpad_image(masks, target_sizes, size)
    else:
        class_logits = class_logits.float()  # of VideoMT, whatever dtype the masks have
        masks = [resized(image, size) for image, size in zip(mask_logits, target_sizes)]
    stuff = {*(stuff_classes or ()), *(label_ids_to_fuse or ())}
    return [
        _as_eomt_result(
            transformers_segments(
                labels, logits.sigmoid(), stuff, Thresholds(**thresholds), paint="confident"
            )
        )
        for labels, logits in zip(class_logits, masks)
    ]


def _as_eomt_result(segmentation: PanopticSegmentation) -> dict[str, Any]:
    """The result of EoMT's and VideoMT's methods: ids from 0, void is -1, no `was_fused`."""
    result = as_transformers_result(segmentation)
    infos = [
        {"id": info["id"] - 1, "label_id": info["label_id"], "score": info["score"]}
        for info in result["segments_info"]
    ]
    return {"segmentation": result["segmentation"].long() - 1, "segments_info": infos}


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
        raise ValueError(f"{label_key}: expected shape (H, W, 3), found {tuple(rgb.shape)}")
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
        raise ValueError(f"{name}: expected {num_images} sizes, found {len(sizes)}")
    for size in sizes:
        check_size(name, size)
        if largest is not None and (size[0] > largest[0] or size[1] > largest[1]):
            raise ValueError(f"{name}: expected at most {tuple(largest)}, found {tuple(size)}")

"""mmdetection: its panoptic maps of `instance * 1000 + class index`, read and written.

The rules are those of mmdet 3's `CocoPanopticMetric` and fusion heads: the class indices of things
come before those of stuff, the instance of stuff is 0, and the class index `num_classes` is void.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.checks import check_integer, checks_values
from pps_torch.formats import PanopticSegmentation, decode_labels, encode_labels
from pps_torch.formats.panoptic import label_pixels
from pps_torch.integrations.libraries import check_installed
from pps_torch.reserved import VOID_ID

check_installed("mmdet", "pps_torch.integrations.mmdetection")

#: Factor of the instance in a label, as mmdet's `INSTANCE_OFFSET`.
INSTANCE_OFFSET = 1000


def from_mmdetection(
    labels: Tensor,
    *,
    num_things: int,
    num_classes: int,
    ignore_index: int | None = None,
    capacity: int | None = None,
) -> PanopticSegmentation:
    """Read one of mmdetection's panoptic maps; this waits for the device.

    Args:
        labels: `(H, W)`, or `(1, H, W)` as in `pred_panoptic_seg.sem_seg`, of any integer dtype.
        num_things: number of thing classes; their class indices come first.
        num_classes: number of classes, things and stuff; as a class index it means void.
        ignore_index: another class index of void (`pred_panoptic_seg.ignore_index`).
        capacity: number of rows of the table, at least the number of segments (the default).

    Returns:
        the `PanopticSegmentation`, its segments in the order of their labels; `category_ids` are
        class indices.

    Raises:
        TypeError, ValueError: for a wrong dtype or shape, or a class index above `num_classes`.

    Example:
        >>> import torch
        >>> from pps_torch.integrations.mmdetection import from_mmdetection, to_mmdetection
        >>> labels = torch.tensor([[1000, 2000, 1, 2]])  # two instances of class 0, stuff, void
        >>> segmentation = from_mmdetection(labels, num_things=1, num_classes=2)
        >>> segmentation.panoptic_seg, segmentation.category_ids
        (tensor([[2, 3, 1, 0]], dtype=torch.int32), tensor([1, 0, 0]))
        >>> to_mmdetection(segmentation, num_classes=2)
        tensor([[1000, 2000,    1,    2]], dtype=torch.int32)
    """
    check_integer("labels", labels)
    if labels.ndim == 3 and labels.shape[0] == 1:
        labels = labels[0]
    if labels.ndim != 2:
        raise ValueError(f"labels: expected shape (H, W) or (1, H, W), found {tuple(labels.shape)}")
    if not 0 <= num_things <= num_classes < INSTANCE_OFFSET:
        raise ValueError(
            "num_things, num_classes: expected 0 <= num_things <= num_classes < "
            f"{INSTANCE_OFFSET}, found {num_things}, {num_classes}"
        )
    found, index = torch.unique(labels.long(), return_inverse=True)
    categories, _ = decode_labels(found, INSTANCE_OFFSET, "instance_major")
    is_void = categories == num_classes
    if ignore_index is not None:
        is_void = is_void | (categories == ignore_index)
    unknown = found[~is_void & ((categories < 0) | (categories > num_classes))].tolist()
    if unknown:
        raise ValueError(
            f"labels: expected labels % {INSTANCE_OFFSET} in 0..{num_classes}, found the labels "
            f"{unknown}"
        )
    numbers = (~is_void).cumsum(0)
    ids = torch.where(is_void, VOID_ID, numbers)
    infos = [
        {"id": number + 1, "category_id": category, "isthing": category < num_things}
        for number, category in enumerate(categories[~is_void].tolist())
    ]
    return PanopticSegmentation.from_segments(ids[index], infos, capacity=capacity)


def to_mmdetection(segmentation: PanopticSegmentation, *, num_classes: int) -> Tensor:
    """Write a segmentation as a panoptic map of mmdetection, in the graph.

    Args:
        segmentation: one image or a batch; `category_ids` are class indices.
        num_classes: number of classes, things and stuff; as a class index it means void.

    Returns:
        `(*B, H, W)` int32 labels; `PixelData(sem_seg=labels[None])` makes a `pred_panoptic_seg` of
        them. Things are instances 1, 2, ... in the order of the segments, counted over all classes.
        The first stuff segment of a class is instance 0, a second one instance 1, and so on; in a
        class that also has things, they are numbered after all things.

    Raises:
        ValueError: a category is no class index, or a pixel has an id without row; checked on the
            CPU only, and elsewhere such a pixel is void.
    """
    categories, is_thing = segmentation.category_ids, segmentation.is_thing
    if not 0 <= num_classes < INSTANCE_OFFSET:
        raise ValueError(f"num_classes: expected 0..{INSTANCE_OFFSET - 1}, found {num_classes}")
    if checks_values(None, categories) and bool((categories >= num_classes).any()):
        raise ValueError(
            f"segmentation.category_ids: expected class indices below {num_classes}, found "
            f"{int(categories.max())}"
        )
    is_same, is_stuff = categories[..., :, None] == categories[..., None, :], ~is_thing
    after_things = (is_same & is_thing[..., None, :]).any(-1) * (1 + is_thing.sum(-1, keepdim=True))
    stuff_instances = after_things + (is_same & is_stuff[..., None, :]).tril(-1).sum(-1)
    instances = torch.where(is_thing, is_thing.cumsum(-1), stuff_instances)
    labels = encode_labels(categories, instances, INSTANCE_OFFSET, "instance_major")
    return label_pixels(segmentation.panoptic_seg, labels, num_classes).to(torch.int32)

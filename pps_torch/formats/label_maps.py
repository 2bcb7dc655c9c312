"""Maps of categories and instances, and the encodings that data sets pack them in, as segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_int,
    check_integer,
    check_ndim,
    check_shape,
    checks_values,
    is_on_host,
)
from pps_torch.formats.labels import decode_labels
from pps_torch.formats.uids import decode_uids
from pps_torch.reserved import ABSENT
from pps_torch.specs import EvalSpec

#: What `from_labels` reads: two maps, or one in the encoding of a data set.
ENCODINGS = (
    "pair",
    "cityscapes",
    "uids",
    "kitti_step",
    "mapillary",
    "category_major",
    "instance_major",
)
_INSTANCE_BITS, _GROUP_BITS = 31, 21
_MAX_INSTANCE = (1 << _INSTANCE_BITS) - 2
_MAX_CATEGORY_ID = (1 << 20) - 1
_MAX_IMAGES = 1 << (63 - _INSTANCE_BITS - _GROUP_BITS)


class LabelClasses(NamedTuple):
    """What the category ids of a map mean.

    Attributes:
        class_of_id: `(I + 1,)` int64, class index by id, -1 for ids of no class; the last entry
            stands for every other id.
        category_of_class: `(C,)` int64, the category id of each class.
        is_thing: `(C,)` bool.
    """

    class_of_id: Tensor
    category_of_class: Tensor
    is_thing: Tensor


class LabelSegments(NamedTuple):
    """The segments of label maps, numbered from 1 on by class, then id, then instance.

    Attributes:
        panoptic_seg: `(*B, H, W)` int32, 0 is void; ids above S are segments that found no row.
        category_ids: `(*B, S)` int64, -1 in unused rows.
        is_thing: `(*B, S)` bool.
        has_instance: `(*B, S)` bool.
        areas: `(*B, S)` int64, pixels.
        num_segments: `(*B,)` int64, also those that found no row.
    """

    panoptic_seg: Tensor
    category_ids: Tensor
    is_thing: Tensor
    has_instance: Tensor
    areas: Tensor
    num_segments: Tensor


def decode_label_map(
    labels: Tensor | tuple[Tensor, Tensor], encoding: str, divisor: int | None
) -> tuple[Tensor, Tensor]:
    """Split label maps into categories and instances, `(*B, H, W)` each, -1 where absent."""
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding: expected one of {ENCODINGS}, found {encoding!r}")
    if (divisor is not None) != encoding.endswith("_major"):
        expected = "an int" if divisor is None else "None"
        raise ValueError(f"divisor: expected {expected} for encoding {encoding!r}, found {divisor}")
    if encoding == "pair":
        if not isinstance(labels, (tuple, list)) or len(labels) != 2:
            found = type(labels).__name__
            raise TypeError(f"labels: expected two maps, categories and instances, found {found}")
        categories, instances = labels
        check_integer("labels[0]", categories)
        check_integer("labels[1]", instances)
        check_shape("labels[1]", instances, tuple(categories.shape))
        check_device("labels[1]", instances, categories)
        return categories.long(), instances.long()
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels: expected a torch.Tensor, found {type(labels).__name__}")
    check_integer("labels", labels)
    if encoding == "uids":
        sids, iids, _ = decode_uids(labels)
        return sids.long(), iids.long()
    if encoding == "kitti_step":
        return _decode_kitti_step(labels)
    if encoding == "mapillary":
        return decode_labels(labels, 256, "category_major")
    if encoding == "cityscapes":
        return decode_labels(labels, 1000, "cityscapes")
    assert divisor is not None
    return decode_labels(labels, divisor, encoding)


def _decode_kitti_step(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Split `(*B, 3, H, W)`: red is the class, green and blue the instance, 0 for none."""
    if rgb.ndim < 3 or rgb.shape[-3] != 3:
        raise ValueError(f"labels: expected shape (*B, 3, H, W), found {tuple(rgb.shape)}")
    categories, high, low = rgb.long().unbind(-3)
    instances = high * 256 + low
    return categories, torch.where(instances > 0, instances, ABSENT)


def prediction_classes(
    categories: Sequence[Mapping[str, Any]] | EvalSpec, device: torch.device
) -> LabelClasses:
    """The classes of a map of predictions, which holds the evaluation's ids."""
    if isinstance(categories, EvalSpec):
        categories = categories.categories
    ids, things = _checked(categories)
    return _class_tables(tuple(zip(ids, range(len(ids)))), ids, things, device)


def target_classes(
    categories: Sequence[Mapping[str, Any]] | EvalSpec, device: torch.device
) -> LabelClasses:
    """The classes of a map of ground truth, which holds the data set's ids."""
    if not isinstance(categories, EvalSpec):
        return prediction_classes(categories, device)
    ids, things = _checked(categories.categories)
    index = {eval_sid: place for place, eval_sid in enumerate(ids)}
    pairs = tuple((sid, index[e]) for sid, e in categories.dataset_sid_to_eval_sid.items())
    return _class_tables(pairs, ids, things, device)


def _checked(
    categories: Sequence[Mapping[str, Any]],
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """The ids of categories, and which are things."""
    expected = "categories: expected an EvalSpec or a list of dicts with id and isthing"
    if not isinstance(categories, Sequence):
        raise TypeError(f"{expected}, found {type(categories).__name__}")
    ids, things = [], []
    for place, category in enumerate(categories):
        if not isinstance(category, Mapping) or not {"id", "isthing"} <= category.keys():
            raise TypeError(f"{expected}, found {category!r}")
        check_int(f"categories[{place}]: id", category["id"], 0)
        if category["id"] > _MAX_CATEGORY_ID or category["id"] in ids:
            expected_id = f"each id once, and at most {_MAX_CATEGORY_ID}"
            raise ValueError(f"categories: expected {expected_id}, found {category['id']}")
        ids.append(int(category["id"]))
        things.append(bool(category["isthing"]))
    return tuple(ids), tuple(things)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _class_tables(
    pairs: tuple[tuple[int, int], ...],
    category_ids: tuple[int, ...],
    things: tuple[bool, ...],
    device: torch.device,
) -> LabelClasses:
    """Make the tables once for each device: a copy to a GPU waits for it."""
    size = max((category_id for category_id, _ in pairs), default=-1) + 2
    class_of_id = torch.full((size,), ABSENT, dtype=torch.int64, device="cpu")
    for category_id, class_index in pairs:
        class_of_id[category_id] = class_index
    category_of_class = torch.tensor(category_ids, dtype=torch.int64)
    is_thing = torch.tensor(things, dtype=torch.bool)
    return LabelClasses(*(t.to(device) for t in (class_of_id, category_of_class, is_thing)))


def number_labels(
    categories: Tensor, instances: Tensor, classes: LabelClasses, capacity: int | None
) -> LabelSegments:
    """Number the segments of maps: an instance of a thing is one, and all pixels of a stuff class.

    Args:
        categories, instances: `(*B, H, W)` int64; ids of no class are void, a negative instance
            is absent.
        classes: what the categories mean.
        capacity: rows of the table, `S`; None for as many as needed, which waits for the device.

    Raises:
        ValueError: on the CPU, for more segments than `capacity`, or instances of 2**31 - 1 and
            more.
    """
    check_ndim("labels", categories, 2, "(*B, H, W)")
    if capacity is not None:
        check_int("capacity", capacity, 0)
    shape, batch = categories.shape, categories.shape[:-2]
    num_images, num_pixels = batch.numel(), shape[-2:].numel()
    if num_images > _MAX_IMAGES:
        raise ValueError(f"labels: expected at most {_MAX_IMAGES} images, found {num_images}")
    if checks_values(None, instances) and instances.numel() and instances.max() > _MAX_INSTANCE:
        raise ValueError(f"labels: expected instances up to {_MAX_INSTANCE}, found others")
    keys = _keys(categories.reshape(-1), instances.reshape(-1), num_images, num_pixels, classes)
    lengths = torch.ones((), dtype=torch.int64, device=keys.device).expand(keys.shape)
    if is_on_host(keys):
        keys, lengths = torch.unique_consecutive(keys, return_counts=True)

    # Equal keys become neighbours; each first one of a segment counts on, image by image.
    keys, order = keys.sort()
    image = keys >> (_INSTANCE_BITS + _GROUP_BITS)
    group = (keys >> _INSTANCE_BITS & ((1 << _GROUP_BITS) - 1)) - 1
    is_first = torch.ones_like(keys, dtype=torch.bool)
    is_first[1:] = keys[1:] != keys[:-1]
    is_first &= group >= 0
    counts = torch.zeros(num_images, dtype=torch.int64, device=keys.device)
    counts.scatter_add_(0, image, is_first.long())
    number = is_first.cumsum(0) - (counts.cumsum(0) - counts)[image]
    number = torch.where(group >= 0, number, 0)
    if capacity is None:
        capacity = int(counts.max()) if num_images else 0
    elif checks_values(None, counts) and num_images and counts.max() > capacity:
        needed = int(counts.max())
        raise ValueError(f"capacity: expected at least {needed} segments, found {capacity}")

    panoptic_seg = torch.empty_like(number).scatter_(0, order, number).int()
    if is_on_host(keys):
        panoptic_seg = torch.repeat_interleave(panoptic_seg, lengths)
    row = image * (capacity + 1) + torch.where(number <= capacity, number, 0)
    num_classes = len(classes.category_of_class)
    class_index = torch.where(
        group < num_classes, group, _class_of(group - num_classes, classes.class_of_id)
    ).clamp(min=0)

    def by_image(table: Tensor) -> Tensor:
        return table.view(num_images, capacity + 1)[:, 1:].reshape(*batch, capacity)

    def column(values: Tensor, unused: int) -> Tensor:
        table = values.new_full((num_images * (capacity + 1),), unused)
        return by_image(table.scatter_(0, row, values))

    areas = torch.zeros(num_images * (capacity + 1), dtype=torch.int64, device=keys.device)
    areas.scatter_add_(0, row, lengths[order])
    has_instance = (keys & ((1 << _INSTANCE_BITS) - 1)) > 0
    is_thing = classes.is_thing[class_index] if num_classes else torch.zeros_like(has_instance)
    category = classes.category_of_class[class_index] if num_classes else torch.full_like(keys, -1)
    return LabelSegments(
        panoptic_seg=panoptic_seg.view(shape),
        category_ids=column(category, ABSENT),
        is_thing=column(is_thing, False),
        has_instance=column(has_instance, False),
        areas=by_image(areas),
        num_segments=counts.view(batch),
    )


def _keys(
    categories: Tensor,
    instances: Tensor,
    num_images: int,
    num_pixels: int,
    classes: LabelClasses,
) -> Tensor:
    """A key of each pixel `(B * P,)`: image, group, instance.

    The group 0 is void, then come the classes of stuff, then the ids of things: instances of two
    ids that are one class are told apart.
    """
    class_index = _class_of(categories, classes.class_of_id)
    num_classes = len(classes.category_of_class)
    is_thing = class_index >= 0
    if num_classes:
        is_thing = is_thing & classes.is_thing[class_index.clamp(min=0)]
    group = torch.where(is_thing, num_classes + categories, class_index) + 1
    instance = torch.where(is_thing, instances.clamp(min=ABSENT) + 1, 0)
    image = torch.arange(num_images, device=categories.device)
    image = image[:, None].expand(-1, num_pixels).reshape(-1)
    return (image << _GROUP_BITS | group) << _INSTANCE_BITS | instance


def _class_of(ids: Tensor, class_of_id: Tensor) -> Tensor:
    """The class index of each id, -1 for ids of no class."""
    last = len(class_of_id) - 1
    return class_of_id[torch.where(ids < 0, last, ids).clamp(max=last)]

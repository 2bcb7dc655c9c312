"""Maps of categories and instances, and the encodings that data sets pack them in, as segments."""

from __future__ import annotations

from collections.abc import Collection
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
)
from pps_torch.formats.categories import Categories, checked_categories
from pps_torch.formats.labels import decode_labels
from pps_torch.formats.rgb_ids import check_channels
from pps_torch.formats.uids import decode_uids, is_legal_uid
from pps_torch.graph_capture import can_keep_tensors, is_on_host
from pps_torch.printing import first_of
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
#: Ids of void in the maps of most data sets, unless a category has them.
VOID_IDS = (0, 255)

_UNKNOWN = -2  # class index of an id that is neither a category's nor void
_MOST_NAMED = 10  # ids in an error
_INSTANCE_BITS, _GROUP_BITS = 31, 21
_MAX_INSTANCE = (1 << _INSTANCE_BITS) - 2
_MAX_CATEGORY_ID = (1 << 20) - 1
_MAX_IMAGES = 1 << (63 - _INSTANCE_BITS - _GROUP_BITS)


class LabelClasses(NamedTuple):
    """What the category ids of a map mean.

    Attributes:
        class_of_id: `(I + 1,)` int64, class index by id, -1 for void, -2 for ids that mean nothing;
            the last entry stands for every other id that is not negative.
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
    labels: Tensor | tuple[Tensor, Tensor],
    encoding: str,
    divisor: int | None,
    validate: bool | None,
) -> tuple[Tensor, Tensor]:
    """Split label maps into categories and instances, `(*B, H, W)` each, -1 where absent.

    Unchecked, uids that the format forbids are of a category that nobody has.
    """
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
        sids, iids, _ = decode_uids(labels, validate=validate)
        return sids.long().where(is_legal_uid(labels), _MAX_CATEGORY_ID + 1), iids.long()
    if encoding == "kitti_step":
        return _decode_kitti_step(labels, validate)
    if encoding == "mapillary":
        return decode_labels(labels, 256, "category_major")
    if encoding == "cityscapes":
        return decode_labels(labels, 1000, "cityscapes")
    assert divisor is not None
    return decode_labels(labels, divisor, encoding)


def _decode_kitti_step(rgb: Tensor, validate: bool | None) -> tuple[Tensor, Tensor]:
    """Split `(*B, 3, H, W)`: red is the class, green and blue the instance, 0 for none."""
    if rgb.ndim < 3 or rgb.shape[-3] != 3:
        raise ValueError(f"labels: expected shape (*B, 3, H, W), found {tuple(rgb.shape)}")
    check_channels("labels: green and blue", rgb[..., 1:, :, :], validate=validate)
    categories, high, low = rgb.long().unbind(-3)
    instances = high * 256 + low
    return categories, torch.where(instances > 0, instances, ABSENT)


def prediction_classes(
    categories: Categories,
    void_ids: Collection[int],
    device: torch.device,
) -> LabelClasses:
    """The classes of a map of predictions, which holds the evaluation's ids."""
    void = _checked_void(void_ids)
    if isinstance(categories, EvalSpec):
        void = (*void, categories.ignore_label)
    ids, things = _ids_and_things(categories)
    return _tables_on(device, tuple(zip(ids, range(len(ids)))), void, ids, things)


def target_classes(
    categories: Categories,
    void_ids: Collection[int],
    ignored_id: int | None,
    device: torch.device,
) -> LabelClasses:
    """The classes of a map of ground truth, which holds the data set's ids.

    The ignored id, if there is one, is a class of things after those of the categories.
    """
    void, (ids, things) = _checked_void(void_ids), _ids_and_things(categories)
    if isinstance(categories, EvalSpec):
        void = (*void, *categories.dataset.sids)
        index = {eval_sid: place for place, eval_sid in enumerate(ids)}
        pairs = tuple((sid, index[e]) for sid, e in categories.dataset_sid_to_eval_sid.items())
    else:
        pairs = tuple(zip(ids, range(len(ids))))
    if ignored_id is not None:
        _check_ignored(ignored_id, {*ids, *(sid for sid, _ in pairs)})
        pairs = (*pairs, (int(ignored_id), len(ids)))
        ids, things = (*ids, int(ignored_id)), (*things, True)
    return _tables_on(device, pairs, void, ids, things)


def _check_ignored(ignored_id: int, evaluated: Collection[int]) -> None:
    check_int("ignored_id", ignored_id, 0)
    if ignored_id > _MAX_CATEGORY_ID or ignored_id in evaluated:
        expected = f"an id of no category, at most {_MAX_CATEGORY_ID}"
        raise ValueError(f"ignored_id: expected {expected}, found {ignored_id}")


def void_without_instance(categories: Tensor, instances: Tensor, ignored_id: int) -> Tensor:
    """The categories, those of the ignored id as void where the instance is 0 or absent."""
    return torch.where((categories == ignored_id) & (instances <= 0), ABSENT, categories)


def _checked_void(void_ids: Collection[int]) -> tuple[int, ...]:
    """The ids of void."""
    if not isinstance(void_ids, Collection):
        raise TypeError(f"void_ids: expected ints, found {type(void_ids).__name__}")
    for void_id in void_ids:
        check_int("void_ids", void_id, 0)
        if void_id > _MAX_CATEGORY_ID:
            raise ValueError(f"void_ids: expected at most {_MAX_CATEGORY_ID}, found {void_id}")
    return tuple(map(int, void_ids))


def _ids_and_things(categories: Categories) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """The ids of categories, and which are things."""
    checked = checked_categories(categories, highest_id=_MAX_CATEGORY_ID)
    return tuple(c["id"] for c in checked), tuple(bool(c["isthing"]) for c in checked)


def _tables_on(device: torch.device, *classes: Any) -> LabelClasses:
    """The tables on a device, made once for it: a copy to a GPU waits for it."""
    if torch.compiler.is_compiling() or not can_keep_tensors():
        return _class_tables(device, *classes)
    return _kept_class_tables(device, *classes)


def _class_tables(
    device: torch.device,
    pairs: tuple[tuple[int, int], ...],
    void_ids: tuple[int, ...],
    category_ids: tuple[int, ...],
    things: tuple[bool, ...],
) -> LabelClasses:
    """Make the tables that say what ids mean."""
    class_indices = {**dict.fromkeys(void_ids, ABSENT), **dict(pairs)}
    size = max([-1, *class_indices]) + 2
    class_of_id = torch.full((size,), _UNKNOWN, dtype=torch.int64, device="cpu")
    for category_id, class_index in class_indices.items():
        class_of_id[category_id] = class_index
    category_of_class = torch.tensor(category_ids, dtype=torch.int64, device="cpu")
    is_thing = torch.tensor(things, dtype=torch.bool, device="cpu")
    return LabelClasses(*(t.to(device) for t in (class_of_id, category_of_class, is_thing)))


_kept_class_tables = lru_cache(maxsize=16)(torch.inference_mode(False)(_class_tables))


def number_labels(
    categories: Tensor,
    instances: Tensor,
    classes: LabelClasses,
    capacity: int | None,
    validate: bool | None,
) -> LabelSegments:
    """Number the segments of maps: an instance of a thing is one, and all pixels of a stuff class.

    Args:
        categories, instances: `(*B, H, W)` int64; a negative category is void, a negative instance
            absent.
        classes: what the categories mean.
        capacity: rows of the table, `S`; None for as many as needed, which waits for the device.
        validate: look for what is raised; None does so on the CPU. Unchecked, pixels of an unknown
            category or of too large an instance have id `S + 1`.

    Raises:
        ValueError: with `validate`, for an unknown category, more segments than `capacity`, or
            instances of 2**31 - 1 and more.
    """
    check_ndim("labels", categories, 2, "(*B, H, W)")
    if capacity is not None:
        check_int("capacity", capacity, 0)
    shape, batch = categories.shape, categories.shape[:-2]
    num_images, num_pixels = batch.numel(), shape[-2:].numel()
    if num_images > _MAX_IMAGES:
        raise ValueError(f"labels: expected at most {_MAX_IMAGES} images, found {num_images}")
    category, instance = categories.reshape(-1), instances.reshape(-1)
    class_of_pixel = _class_of(category, classes.class_of_id)
    is_checked, is_too_large = checks_values(validate, instances), instance > _MAX_INSTANCE
    if is_checked:
        _refuse_unknown(category[class_of_pixel == _UNKNOWN], classes)
        if is_too_large.any():
            raise ValueError(f"labels: expected instances up to {_MAX_INSTANCE}, found others")
    else:
        class_of_pixel = torch.where(is_too_large, _UNKNOWN, class_of_pixel)
    keys = _keys(category, class_of_pixel, instance, num_images, num_pixels, classes)
    lengths = torch.ones((), dtype=torch.int64, device=keys.device).expand(keys.shape)
    if is_on_host(keys):
        keys, lengths = torch.unique_consecutive(keys, return_counts=True)

    keys, order = keys.sort()
    ordered = _SortedKeys.of(keys)
    number, counts = _number_sorted(ordered, num_images)
    if capacity is None:
        capacity = int(counts.max()) if num_images else 0
    elif is_checked and num_images and counts.max() > capacity:
        needed = int(counts.max())
        raise ValueError(f"capacity: expected at least {needed} segments, found {capacity}")

    panoptic_seg = torch.empty_like(number).scatter_(0, order, number).int()
    if is_on_host(keys):
        panoptic_seg = torch.repeat_interleave(panoptic_seg, lengths)
    if not is_checked:
        panoptic_seg = torch.where(class_of_pixel == _UNKNOWN, capacity + 1, panoptic_seg)
    tables = _tables_of_sorted(ordered, number, lengths[order], classes, num_images, capacity)
    category_ids, is_thing, has_instance, areas = (t.reshape(*batch, capacity) for t in tables)
    return LabelSegments(
        panoptic_seg=panoptic_seg.view(shape),
        category_ids=category_ids,
        is_thing=is_thing,
        has_instance=has_instance,
        areas=areas,
        num_segments=counts.view(batch),
    )


class _SortedKeys(NamedTuple):
    """Sorted keys `(R,)`, of which equal ones are neighbours, with what they are made of."""

    keys: Tensor
    #: `(R,)` int64, the image.
    image: Tensor
    #: `(R,)` int64, the group, counted from -1, void, on.
    group: Tensor

    @classmethod
    def of(cls, keys: Tensor) -> _SortedKeys:
        """Take keys apart, as `_keys` has put them together."""
        group = (keys >> _INSTANCE_BITS & ((1 << _GROUP_BITS) - 1)) - 1
        return cls(keys, keys >> (_INSTANCE_BITS + _GROUP_BITS), group)


def _number_sorted(ordered: _SortedKeys, num_images: int) -> tuple[Tensor, Tensor]:
    """Number the segments of sorted keys, image by image.

    Returns:
        `(R,)` int64, the number of the segment of each key from 1 on, 0 for void; and `(B,)` int64,
        the segments of each image.
    """
    keys, image, group = ordered
    is_first = torch.ones_like(keys, dtype=torch.bool)
    is_first[1:] = keys[1:] != keys[:-1]
    is_first &= group >= 0
    counts = torch.zeros(num_images, dtype=torch.int64, device=keys.device)
    counts.scatter_add_(0, image, is_first.long())
    number = is_first.cumsum(0) - (counts.cumsum(0) - counts)[image]
    return torch.where(group >= 0, number, 0), counts


def _tables_of_sorted(
    ordered: _SortedKeys,
    number: Tensor,
    lengths: Tensor,
    classes: LabelClasses,
    num_images: int,
    capacity: int,
) -> tuple[Tensor, ...]:
    """The columns of `LabelSegments` from `category_ids` to `areas`, `(B, S)` each."""
    keys, image, group = ordered
    row = image * (capacity + 1) + torch.where(number <= capacity, number, 0)
    num_classes = len(classes.category_of_class)
    class_index = torch.where(
        group < num_classes, group, _class_of(group - num_classes, classes.class_of_id)
    ).clamp(min=0)
    has_instance = (keys & ((1 << _INSTANCE_BITS) - 1)) > 0
    is_thing = classes.is_thing[class_index] if num_classes else torch.zeros_like(has_instance)
    found = classes.category_of_class[class_index] if num_classes else torch.full_like(keys, -1)

    def column(values: Tensor, unused: int) -> Tensor:
        table = values.new_full((num_images * (capacity + 1),), unused)
        return by_image(table.scatter_(0, row, values))

    def by_image(table: Tensor) -> Tensor:
        return table.view(num_images, capacity + 1)[:, 1:]

    areas = torch.zeros(num_images * (capacity + 1), dtype=torch.int64, device=keys.device)
    areas.scatter_add_(0, row, lengths)
    return (
        column(found, ABSENT),
        column(is_thing, False),
        column(has_instance, False),
        by_image(areas),
    )


def _refuse_unknown(unknown: Tensor, classes: LabelClasses) -> None:
    """Raise ValueError if there are ids that are neither a category's nor void."""
    if unknown.numel():
        known, void = (
            first_of(which.nonzero().flatten().tolist(), _MOST_NAMED)
            for which in (classes.class_of_id >= 0, classes.class_of_id == ABSENT)
        )
        raise ValueError(
            f"labels: expected the ids {known}, or void ({void}), found "
            f"{first_of(unknown.unique().tolist(), _MOST_NAMED)}; are these class indices? "
            "torch.tensor(category_ids)[indices] makes category ids of them; void_ids= names "
            "further ids of void"
        )


def _keys(
    categories: Tensor,
    class_index: Tensor,
    instances: Tensor,
    num_images: int,
    num_pixels: int,
    classes: LabelClasses,
) -> Tensor:
    """A key of each pixel `(B * P,)`: image, group, instance.

    The group 0 is void, then come the classes of stuff, then the ids of things: instances of two
    ids that are one class are told apart.
    """
    num_classes = len(classes.category_of_class)
    is_thing = class_index >= 0
    if num_classes:
        is_thing = is_thing & classes.is_thing[class_index.clamp(min=0)]
    group = torch.where(is_thing, num_classes + categories, class_index.clamp(min=ABSENT)) + 1
    instance = torch.where(is_thing, instances.clamp(min=ABSENT) + 1, 0)
    image = torch.arange(num_images, device=categories.device)
    image = image[:, None].expand(-1, num_pixels).reshape(-1)
    return (image << _GROUP_BITS | group) << _INSTANCE_BITS | instance


def _class_of(ids: Tensor, class_of_id: Tensor) -> Tensor:
    """The class index of each id, -1 for void, -2 for unknown ids."""
    return torch.where(ids < 0, ABSENT, class_of_id[ids.clamp(0, len(class_of_id) - 1)])

"""Panoptic labels: category and instance in one number, in each of the three orders in use."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pps_torch.checks import check_device, check_int, check_integer, check_shape, checks_values
from pps_torch.reserved import ABSENT

_HIGHEST = torch.iinfo(torch.int64).max
_ORDERS = ("category_major", "instance_major", "cityscapes")


def encode_labels(
    categories: Tensor,
    instances: Tensor,
    divisor: int,
    order: str,
    *,
    validate: bool | None = None,
) -> Tensor:
    """Pack category and instance ids into panoptic labels.

    Args:
        categories, instances: tensors of one shape and any integer dtype. A negative category
            is void and becomes label -1.
        divisor: one more than the highest id of the lower part; 1000 in Cityscapes' files.
        order: `"category_major"` (Detectron2, deeplab2): `category * divisor + instance`;
            `"instance_major"` (mmdetection): `instance * divisor + category`;
            `"cityscapes"` (instanceIds and panoptic PNGs): as category_major, but the category
            alone where the instance is absent, a negative number, as it is of stuff and crowds.
        validate: check that each label means its two ids. Default: on the CPU only; unchecked,
            the label of ids that do not fit means others.

    Returns:
        int64 labels of the same shape.

    Raises:
        TypeError: for a divisor that is not an int.
        ValueError: for different shapes, another order, a divisor below 1; with `validate`,
            for a lower part outside 0..divisor-1 or a negative upper one, and, in the order of
            Cityscapes, for category 0 with an instance or `divisor` and above without one.
    """
    divisor = _checked_divisor(divisor, order)
    check_integer("categories", categories)
    check_integer("instances", instances)
    check_shape("instances", instances, tuple(categories.shape))
    check_device("instances", instances, categories)
    categories, instances = categories.long(), instances.long()
    upper, lower = _major_first(categories, instances, order)
    labels = upper * divisor + lower
    if order == "cityscapes":
        labels = torch.where(instances < 0, categories, labels)
    labels = torch.where(categories < 0, ABSENT, labels)
    if checks_values(validate, categories):
        _refuse_others(categories, instances, labels, divisor, order)
    return labels


def decode_labels(labels: Tensor, divisor: int, order: str) -> tuple[Tensor, Tensor]:
    """Split panoptic labels: the inverse of `encode_labels`.

    Args:
        labels: tensor of any shape and integer dtype; negative labels are void.
        divisor, order: as in `encode_labels`.

    Returns:
        `(categories, instances)`, int64, both -1 where the label is negative; in the order of
        Cityscapes the instance is also -1 where it is absent, that is of labels below `divisor`.

    Example:
        >>> import torch
        >>> decode_labels(torch.tensor([26_003, -1]), 1000, "category_major")
        (tensor([26, -1]), tensor([ 3, -1]))
        >>> decode_labels(torch.tensor([7, 26, 26_003]), 1000, "cityscapes")  # road, crowd, a car
        (tensor([ 7, 26, 26]), tensor([-1, -1,  3]))
    """
    divisor = _checked_divisor(divisor, order)
    check_integer("labels", labels)
    labels = labels.long()
    upper, lower = labels // divisor, labels % divisor
    if order == "cityscapes":
        is_alone = labels < divisor
        upper, lower = torch.where(is_alone, labels, upper), torch.where(is_alone, ABSENT, lower)
    upper, lower = (torch.where(labels < 0, ABSENT, ids) for ids in (upper, lower))
    return _major_first(upper, lower, order)


def _major_first(one: Tensor, other: Tensor, order: str) -> tuple[Tensor, Tensor]:
    """Order category and instance as upper and lower part of a label, or such parts back."""
    return (other, one) if order == "instance_major" else (one, other)


def _checked_divisor(divisor: Any, order: str) -> int:
    """Check a divisor and an order; return the divisor as Python's int, whatever int it was."""
    if order not in _ORDERS:
        raise ValueError(f"order: expected one of {_ORDERS}, found {order!r}")
    check_int("divisor", divisor, 1)
    if divisor > _HIGHEST:
        raise ValueError(f"divisor: expected an int of 64 bits, found {divisor}")
    return int(divisor) if isinstance(divisor, np.integer) else divisor


def _refuse_others(
    categories: Tensor, instances: Tensor, labels: Tensor, divisor: int, order: str
) -> None:
    """Raise ValueError for ids that their label does not give back; void may have any."""
    upper, lower = _major_first(categories, instances, order)
    highest_upper = (_HIGHEST - lower.clamp(min=0)) // divisor
    fits = (lower >= 0) & (lower < divisor) & (upper >= 0) & (upper <= highest_upper)
    if order == "cityscapes":
        fits = torch.where(instances < 0, categories < divisor, fits & (categories > 0))
    wrong = ~fits & (categories >= 0)
    if wrong.any():
        category, instance, label = (ids[wrong][0] for ids in (categories, instances, labels))
        meant = decode_labels(label, divisor, order)
        raise ValueError(
            f"categories, instances: expected ids that a label holds (order {order!r}, divisor "
            f"{divisor}), found category {category}, instance {instance}: {label} would mean "
            f"category {meant[0]}, instance {meant[1]}"
        )

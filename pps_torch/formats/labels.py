"""Panoptic labels: category and instance in one number, in either of the two orders in use."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.formats.checks import check_integer, check_shape, checks_values
from pps_torch.formats.reserved import ABSENT

_ORDERS = ("category_major", "instance_major")


def encode_labels(
    categories: Tensor,
    instances: Tensor,
    divisor: int,
    order: str,
    *,
    validate: bool | None = None,
) -> Tensor:
    """Packs category and instance ids into panoptic labels.

    Args:
        categories, instances: tensors of one shape and any integer dtype. A negative category
            is void and becomes label -1.
        divisor: one more than the highest id of the lower part.
        order: ``"category_major"`` (Cityscapes, Detectron2, deeplab2):
            ``category * divisor + instance``; ``"instance_major"`` (mmdetection):
            ``instance * divisor + category``.
        validate: check that the lower part stays below ``divisor``. Default: on the CPU only.

    Returns:
        int64 labels of the same shape.

    Raises:
        ValueError: for different shapes, another order, a divisor below 1; with ``validate``,
            for a lower part outside 0..divisor-1 or a negative instance.
    """
    _check_scheme(divisor, order)
    check_integer("categories", categories)
    check_integer("instances", instances)
    check_shape("instances", instances, tuple(categories.shape))
    categories, instances = categories.long(), instances.long()
    is_void = categories < 0
    category_major = order == "category_major"
    upper, lower = (categories, instances) if category_major else (instances, categories)
    if checks_values(validate, categories):
        highest = torch.iinfo(torch.int64).max // divisor - 1
        wrong = (lower < 0) | (lower >= divisor) | (upper < 0) | (upper > highest)
        wrong = wrong & ~is_void
        if wrong.any():
            category, instance = categories[wrong][0].item(), instances[wrong][0].item()
            name = "instances" if category_major else "categories"
            raise ValueError(
                f"{name}: expected 0..{divisor - 1} (divisor {divisor}), and the other id in "
                f"0..{highest}, found category {category}, instance {instance}"
            )
    return torch.where(is_void, ABSENT, upper * divisor + lower)


def decode_labels(labels: Tensor, divisor: int, order: str) -> tuple[Tensor, Tensor]:
    """Splits panoptic labels: the inverse of :func:`encode_labels`.

    Args:
        labels: tensor of any shape and integer dtype; negative labels are void.
        divisor, order: as in :func:`encode_labels`.

    Returns:
        ``(categories, instances)``, int64, both -1 where the label is negative.

    Example:
        >>> import torch
        >>> decode_labels(torch.tensor([26_003, -1]), 1000, "category_major")
        (tensor([26, -1]), tensor([ 3, -1]))
    """
    _check_scheme(divisor, order)
    check_integer("labels", labels)
    labels = labels.long()
    is_void = labels < 0
    upper = torch.where(is_void, ABSENT, labels // divisor)
    lower = torch.where(is_void, ABSENT, labels % divisor)
    return (upper, lower) if order == "category_major" else (lower, upper)


def _check_scheme(divisor: int, order: str) -> None:
    if order not in _ORDERS:
        raise ValueError(f"order: expected one of {_ORDERS}, got {order!r}")
    if not isinstance(divisor, int) or divisor < 1:
        raise ValueError(f"divisor: expected an int of at least 1, got {divisor!r}")

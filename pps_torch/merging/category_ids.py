"""The ids of categories and the indices of classes that a caller gives, as tensors on a device.

Where a model numbers its classes 0, 1, ..., `category_ids` says which category each of them is:
the inputs of a merge then hold class indices, and its result has the ids.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pps_torch.checks import check_integer, checks_values
from pps_torch.formats import PanopticSegmentation
from pps_torch.graph_capture import can_keep_tensors
from pps_torch.reserved import ABSENT


def as_id_tensor(
    name: str,
    ids: Sequence[int] | Tensor,
    device: torch.device,
    *,
    num_classes: int | None = None,
    validate: bool | None = None,
) -> Tensor:
    """Convert ids of categories, or indices of `num_classes` classes, to int64 on a device.

    Args:
        name: what errors call the ids.
        ids: distinct, as ints or a tensor `(K,)`.
        device: where they are needed.
        num_classes: number of classes that indices stand for; default: any id from 0 on.
        validate: look at the values of a tensor, too. Default: on the CPU only.

    Raises:
        TypeError, ValueError: for a wrong dtype, shape or value, naming the ids.
    """
    if isinstance(ids, Tensor):
        check_integer(name, ids)
        if ids.ndim != 1:
            raise ValueError(f"{name}: expected shape (K,), found {tuple(ids.shape)}")
        if checks_values(validate, ids):
            _check_ids(name, ids.tolist(), num_classes)
        return ids.to(device, torch.int64)
    try:
        ids = [operator.index(value) for value in ids]
    except TypeError:
        raise TypeError(f"{name}: expected ints, found {ids}") from None
    _check_ids(name, ids, num_classes)
    if device.type == "cpu" or torch.compiler.is_compiling() or not can_keep_tensors():
        return torch.tensor(ids, dtype=torch.int64, device=device)
    return _copied_ids(tuple(ids), device)


def as_category_ids(
    category_ids: Sequence[int] | Tensor | None,
    device: torch.device,
    *,
    num_classes: int | None = None,
    validate: bool | None = None,
) -> Tensor | None:
    """Convert the category id of each class index to int64 on a device; None stays None.

    Raises:
        TypeError, ValueError: as `as_id_tensor`, and for another number of ids than `num_classes`.
    """
    if category_ids is None:
        return None
    ids = as_id_tensor("category_ids", category_ids, device, validate=validate)
    if num_classes is not None and len(ids) != num_classes:
        raise ValueError(f"category_ids: expected {num_classes} ids, one a class, found {len(ids)}")
    return ids


def as_classes(
    pred_classes: Tensor,
    stuff_ids: Sequence[int] | Tensor,
    category_ids: Sequence[int] | Tensor | None,
    *,
    validate: bool | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Convert what says the classes of instances, of stuff, and of the result, on one device.

    Args:
        pred_classes: int, any shape, on the device: categories, or indices of `category_ids`.
        stuff_ids: of the same kind.
        category_ids: the category of each class index, or None.
        validate: refuse what the ids do not have. Default: on the CPU only.

    Raises:
        TypeError, ValueError: as `as_id_tensor` and `known_indices`.
    """
    device, num_classes = pred_classes.device, None
    category_ids = as_category_ids(category_ids, device, validate=validate)
    if category_ids is not None:
        num_classes = len(category_ids)
        pred_classes = known_indices("pred_classes", pred_classes, category_ids, validate=validate)
    stuff = as_id_tensor("stuff_ids", stuff_ids, device, num_classes=num_classes, validate=validate)
    return pred_classes, stuff, category_ids


def known_indices(
    name: str, indices: Tensor, category_ids: Tensor, *, validate: bool | None
) -> Tensor:
    """Class indices that have a category id; -1 in place of others, which no merge keeps.

    Where they are not checked, instances of such a class are left out, and nothing counts them.

    Args:
        name: what errors call the indices.
        indices: int, any shape.
        category_ids: `(C,)` int.
        validate: refuse indices without a category. Default: on the CPU only.
    """
    num_classes = len(category_ids)
    is_known = (indices >= 0) & (indices < num_classes)
    if checks_values(validate, indices) and not bool(is_known.all()):
        lowest, highest = (int(value) for value in indices.aminmax())
        raise ValueError(
            f"{name}: expected class indices 0..{num_classes - 1}, as category_ids has "
            f"{num_classes} ids, found {lowest}..{highest}"
        )
    return indices.where(is_known, ABSENT)


def with_category_ids(
    segmentation: PanopticSegmentation, category_ids: Tensor | None
) -> PanopticSegmentation:
    """Put category ids in place of the class indices of a table; None leaves it as it is."""
    if category_ids is None:
        return segmentation
    panoptic_seg, class_indices, *rest = segmentation
    ids = torch.cat([category_ids, category_ids.new_full((1,), ABSENT)])  # of -1, unused rows
    return PanopticSegmentation(panoptic_seg, ids[class_indices], *rest)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _copied_ids(ids: tuple[int, ...], device: torch.device) -> Tensor:
    """Ids on a device, copied once: a copy waits for the device, which a merge must not."""
    return torch.tensor(ids, dtype=torch.int64, device="cpu").to(device)


def _check_ids(name: str, ids: list[int], num_classes: int | None) -> None:
    """Raise ValueError unless the ids are distinct, 0 or more, and below `num_classes` or 2**63."""
    end = 1 << 63 if num_classes is None else num_classes
    if len(set(ids)) == len(ids) and all(0 <= value < end for value in ids):
        return
    kind = f"class indices 0..{end - 1}" if end else "class indices, of which there are none"
    if num_classes is None:
        kind = "ids of 0 or more" if max(ids) < end else "ids below 2**63"
    raise ValueError(f"{name}: expected distinct {kind}, found {ids}")

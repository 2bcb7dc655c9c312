"""What heads mean: the ids of the spec behind channels of logits and class indices."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_floating,
    check_integer,
    check_ndim,
    check_not_empty,
    check_shape,
    checks_values,
)
from pps_torch.reserved import ABSENT


def as_channel_ids(name: str, ids: Sequence[int], known: Collection[int]) -> Tensor:
    """Convert ids by channel or class index to a `(K,)` int32 tensor.

    Raises:
        ValueError: for an id that is not among the known ones, naming the argument `name`.
    """
    unknown = [value for value in ids if value not in known]
    if unknown:
        raise ValueError(f"{name}: expected ids of the spec, found {unknown}")
    return torch.tensor(ids, dtype=torch.int32, device="cpu")


def and_absent(ids: Tensor) -> Tensor:
    """Append -1 to ids by class index: what `ids_of_indices` looks up for all other indices."""
    return torch.cat([ids, ids.new_full((1,), ABSENT)])


def check_logits(
    name: str, logits: Tensor, batch: Sequence[int], ids: Tensor, *, validate: bool | None
) -> None:
    """Raise TypeError or ValueError unless logits are `(*batch, len(ids), h, w)` float, not NaN."""
    check_floating(name, logits)
    check_ndim(name, logits, 3, "(*B, C, h, w)")
    check_shape(name, logits, (*batch, ids.numel(), *logits.shape[-2:]))
    check_device(name, logits, ids)
    check_not_empty(name, logits, 3, "a channel and a pixel")
    if checks_values(validate, logits) and bool(logits.isnan().any()):
        raise ValueError(f"{name}: expected numbers, found NaN")


def ids_of_indices(name: str, indices: Tensor, ids: Tensor, *, validate: bool | None) -> Tensor:
    """Look up the id of each class index; -1 for an index that means nothing.

    Args:
        name: what errors call the indices.
        indices: int, any shape.
        ids: `(K + 1,)` int, the id of each class index, see `and_absent`.
        validate: refuse indices that mean nothing. Default: on the CPU only.

    Returns:
        ids of the shape of `indices`.
    """
    check_integer(name, indices)
    check_device(name, indices, ids)
    num_classes = ids.numel() - 1
    if checks_values(validate, indices) and indices.numel():
        lowest, highest = (int(value) for value in indices.aminmax())
        if lowest < 0 or highest >= num_classes:
            raise ValueError(f"{name}: expected 0..{num_classes - 1}, found {lowest}..{highest}")
    return ids[indices.long().clamp(-1, num_classes)]

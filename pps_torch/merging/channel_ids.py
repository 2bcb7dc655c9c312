"""What heads mean: the ids of the spec behind channels of logits and class indices."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Sequence

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
from pps_torch.specs import EvalSpec


def as_channel_ids(name: str, ids: Iterable[int], known: Collection[int]) -> Tensor:
    """Convert ids by channel or class index to a `(K,)` int32 tensor.

    Raises:
        TypeError: for anything but ints, naming the argument `name`.
        ValueError: for an id that is not among the known ones.
    """
    try:
        ids = [operator.index(value) for value in ids]
    except TypeError:
        raise TypeError(f"{name}: expected ints, found {ids}") from None
    unknown = [value for value in ids if value not in known]
    if unknown:
        raise ValueError(f"{name}: expected ids of the spec, found {unknown}")
    return torch.tensor(ids, dtype=torch.int32, device="cpu")


def as_semantic_ids(ids: Iterable[int] | None, spec: EvalSpec) -> Tensor:
    """Convert the scene id of each semantic channel; -1 is no class, None all classes in order."""
    ids = spec.eval_sids if ids is None else ids
    return as_channel_ids("semantic_ids", ids, (ABSENT, *spec.eval_sids))


def as_part_ids(ids: Iterable[int] | None, spec: EvalSpec) -> Tensor:
    """Convert the flat id of each part channel; None is background, then the spec's own, rising."""
    known = sorted({0, *spec.eval_sid_pid_to_flat.values()})
    return as_channel_ids("part_ids", known if ids is None else ids, known)


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

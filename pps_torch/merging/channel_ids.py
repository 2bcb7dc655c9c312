"""Which ids of the spec the channels of heads and the class indices of detections mean."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from pps_torch.checks import (
    check_device,
    check_floating,
    check_integer,
    check_ndim,
    check_shape,
    checks_values,
)
from pps_torch.ops.painting.upsampled_argmax import upsampled_ids
from pps_torch.reserved import ABSENT


def as_channel_ids(name: str, ids: Sequence[int], known: Collection[int]) -> Tensor:
    """Ids by channel or class index as `(K,)` int32; ValueError for one that is not known."""
    unknown = [value for value in ids if value not in known]
    if unknown:
        raise ValueError(f"{name}: expected ids of the spec, found {unknown}")
    return torch.tensor(ids, dtype=torch.int32)


def check_logits(
    name: str, logits: Tensor, batch: Sequence[int], ids: Tensor, validate: bool | None
) -> None:
    """Refuses logits that are not `(*batch, len(ids), h, w)` float, and NaN."""
    check_floating(name, logits)
    check_ndim(name, logits, 3, "(*B, C, h, w)")
    check_shape(name, logits, (*batch, len(ids), *logits.shape[-2:]))
    check_device(name, logits, ids)
    if checks_values(validate, logits) and bool(logits.isnan().any()):
        raise ValueError(f"{name}: expected numbers, found NaN")


def highest_ids(logits: Tensor, ids: Tensor, size: tuple[int, int], backend: str) -> Tensor:
    """`(*B, C, h, w)` -> `(*B, H, W)`: the id of the highest upsampled channel."""
    batch = logits.shape[:-3]
    logits = logits.reshape(batch.numel(), *logits.shape[-3:])
    return upsampled_ids(logits, ids, size, backend).view(*batch, *size)


def ids_of_indices(name: str, indices: Tensor, ids: Tensor, validate: bool | None) -> Tensor:
    """The id of each class index; -1 for indices that mean nothing, unless they are refused."""
    check_integer(name, indices)
    check_device(name, indices, ids)
    is_known = (indices >= 0) & (indices < len(ids))
    if checks_values(validate, indices) and not bool(is_known.all()):
        found = f"{int(indices.min())}..{int(indices.max())}"
        raise ValueError(f"{name}: expected 0..{len(ids) - 1}, found {found}")
    return torch.where(is_known, ids[torch.where(is_known, indices, 0).long()], ABSENT)

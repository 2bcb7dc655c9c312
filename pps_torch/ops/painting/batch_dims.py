"""The batch dimensions of images: plain torch computes on one, and gives them back at its end."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pps_torch.formats import PanopticSegmentation


def flatten_batch(values: Tensor, num_dims: int) -> Tensor:
    """Flatten what is in front of the last `num_dims` dimensions: `(*B, ...)` to `(B, ...)`."""
    if values.ndim == num_dims:
        return values.unsqueeze(0)
    return values.flatten(0, -1 - num_dims)


def unflatten_batch(result: PanopticSegmentation, batch: Sequence[int]) -> PanopticSegmentation:
    """Give the fields of `(B, ...)` the batch dimensions `(*B, ...)` of the inputs."""
    if len(batch) == 1:
        return result
    if not batch:
        return PanopticSegmentation(*(field[0] for field in result))
    return PanopticSegmentation(*(field.reshape((*batch, *field.shape[1:])) for field in result))

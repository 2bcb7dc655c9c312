"""The batch dimensions of a `PanopticSegmentation`, which the merges give back at their end."""

from __future__ import annotations

from pps_torch.formats import PanopticSegmentation


def unflatten_batch(result: PanopticSegmentation, batch: tuple[int, ...]) -> PanopticSegmentation:
    """Give the fields of `(B, ...)` the batch dimensions `(*B, ...)` of the inputs."""
    if len(batch) == 1:
        return result
    if not batch:
        return PanopticSegmentation(*(field[0] for field in result))
    return PanopticSegmentation(*(field.reshape((*batch, *field.shape[1:])) for field in result))

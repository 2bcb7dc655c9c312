"""The nearest of some places to each point."""

from __future__ import annotations

import torch
from torch import Tensor

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.fold import at, fold, is_one_loop

# Distances held at once: what fits in a CPU's cache, and 64 MiB in the graph.
_HOST_DISTANCES = 1 << 18
_GRAPH_DISTANCES = 1 << 24


def nearest_places(points: Tensor, places: Tensor) -> Tensor:
    """Find the nearest place to each point, by squared distances in the points' dtype.

    Args:
        points: `(2, B, P)` float32 or float64, finite.
        places: `(2, B, K)` of the same dtype, at least one; a place at infinity is no place.

    Returns:
        `(B, P)` int32 in `0..K-1`, the first of equally near places; 0 where none is a place.
    """
    if is_one_loop():
        return _nearest_in_loop(points, places)
    num_distances = _HOST_DISTANCES if is_on_host(points) else _GRAPH_DISTANCES
    step = max(num_distances // max(places[0].numel(), 1), 1)
    nearest = []
    for tile in points.split(step, dim=2):
        dy, dx = (tile[..., None] - places[:, :, None]).unbind(0)
        nearest.append((dy * dy + dx * dx).argmin(2).to(torch.int32))
    return torch.cat(nearest, 1)


def _nearest_in_loop(points: Tensor, places: Tensor) -> Tensor:
    """Find what `nearest_places` finds, place by place in one loop of an exported program.

    Places at infinity come last; there are as many rounds as the batch needs.
    """

    def step(index: Tensor, nearest: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
        dy, dx = (points - at(places, 2, index)).unbind(0)
        distance = dy * dy + dx * dx
        is_nearer = distance < least
        nearest = torch.where(is_nearer, index.to(torch.int32), nearest)
        return nearest, torch.where(is_nearer, distance, least)

    nearest = torch.zeros_like(points[0], dtype=torch.int32)
    least = torch.full_like(points[0], torch.inf)
    count = (places[0] < torch.inf).any(0).sum()
    return fold(step, (nearest, least), count)[0]

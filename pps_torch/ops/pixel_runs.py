"""Runs of equal pixels: on the CPU, label maps are collapsed before anything is counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class PixelRuns(NamedTuple):
    """Pixels of a batch of images, neighbours with equal values in all maps taken as one run.

    Attributes:
        maps: the maps' values, each ``(R,)``.
        image: ``(R,)`` int64, index of the image that a run lies in.
        starts: ``(R,)`` int64, first pixel of each run in the flattened batch; ``None`` where
            each pixel is a run of its own.
        lengths: ``(R,)`` int64, pixels.
    """

    maps: tuple[Tensor, ...]
    image: Tensor
    starts: Tensor | None
    lengths: Tensor

    def expand(self, values: Tensor) -> Tensor:
        """Values of runs ``(R,)`` -> values of pixels ``(B * P,)``."""
        if self.starts is None:
            return values
        return values.repeat_interleave(self.lengths)


def pixel_runs(*maps: Tensor) -> PixelRuns:
    """Collapses maps of shape ``(B, P)`` into runs.

    A label map has some 20 runs a row, so on the CPU everything after this step costs a few
    per cent. The number of runs depends on the data: on CUDA, where that would make the host
    wait, and under ``torch.compile`` each pixel stays a run of length one.
    """
    num_images, num_pixels = maps[0].shape
    flat = tuple(values.reshape(-1) for values in maps)
    device = flat[0].device
    if device.type != "cpu" or torch.compiler.is_compiling():
        image = torch.arange(num_images, device=device)[:, None].expand(-1, num_pixels)
        lengths = torch.ones((), dtype=torch.int64, device=device).expand(flat[0].shape)
        return PixelRuns(flat, image.reshape(-1), None, lengths)
    starts = run_starts(flat, num_pixels)
    lengths = torch.diff(starts, append=starts.new_tensor([flat[0].numel()]))
    image = starts // max(num_pixels, 1)
    return PixelRuns(tuple(values[starts] for values in flat), image, starts, lengths)


def run_starts(flat_maps: Sequence[Tensor], num_pixels: int) -> Tensor:
    """First pixels of the runs of equal values in all maps; CPU only.

    Args:
        flat_maps: maps of shape ``(B * P,)``.
        num_pixels: ``P``; a run never crosses from one image to the next.

    Returns:
        ``(R,)`` int64, rising.
    """
    begins = torch.zeros(flat_maps[0].shape, dtype=torch.bool)
    for values in flat_maps:
        begins[1:] |= values[1:] != values[:-1]
    begins[::max(num_pixels, 1)] = True
    return begins.nonzero()[:, 0]

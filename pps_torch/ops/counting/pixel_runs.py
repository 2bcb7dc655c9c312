"""Pixels of a batch of maps, where on the CPU runs of equal pixels are taken as one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pps_torch.formats.runs import Array, distinct_pixels, expand_runs, runs_of
from pps_torch.graph_capture import is_on_host

#: Images have fewer pixels than this, so that counts and pixel numbers of one fit in 32 bits.
MAX_PIXELS = 1 << 30


class PixelRuns(NamedTuple):
    """Pixels of a batch of images, neighbours with equal values in all maps taken as one run.

    Attributes:
        maps: the maps' values, each `(R,)`.
        image: `(R,)` int64, index of the image that a run lies in.
        lengths: `(R,)` int64, pixels.
        is_collapsed: false where each pixel is a run of its own.
    """

    maps: tuple[Tensor, ...]
    image: Tensor
    lengths: Tensor
    is_collapsed: bool

    def expand(self, values: Tensor) -> Tensor:
        """Repeat the values of runs `(*, R)` for each of their pixels, `(*, B * P)`."""
        return expand_runs(values, self.lengths) if self.is_collapsed else values

    def places(self, columns: Tensor, num_columns: int, num_images: int) -> Tensor:
        """Find columns `(R,)` in tables `(B, num_columns)` of which one follows the other."""
        if self.is_collapsed:
            return self.image * num_columns + columns
        first = torch.arange(num_images, device=columns.device, dtype=columns.dtype) * num_columns
        return (columns.view(num_images, -1) + first[:, None]).flatten()


def pixel_runs(*maps: Tensor) -> PixelRuns:
    """Collapse maps of shape `(B, P)` into runs.

    A label map has some 20 runs a row, so on the CPU everything after this step costs a few
    per cent. The number of runs depends on the data: on CUDA, where that would make the host
    wait, and under `torch.compile` each pixel stays a run of length one.
    """
    num_images, num_pixels = maps[0].shape
    flat = tuple(values.reshape(-1) for values in maps)
    device = flat[0].device
    if not is_on_host(flat[0]):
        image = torch.arange(num_images, device=device)[:, None].expand(-1, num_pixels)
        lengths = torch.ones((), dtype=torch.int64, device=device).expand(flat[0].shape)
        return PixelRuns(maps=flat, image=image.reshape(-1), lengths=lengths, is_collapsed=False)
    # Not with torch: its threads wait for each other, and so few runs gain nothing by them.
    return _collapsed(*runs_of([values.numpy() for values in flat], num_pixels))


def distinct_pixel_runs(*maps: Tensor) -> PixelRuns:
    """Collapse maps of shape `(B, P)` into one run for each combination of values; CPU only."""
    arrays = [values.reshape(-1).numpy() for values in maps]
    return _collapsed(*distinct_pixels(arrays, maps[0].shape[1]))


def _collapsed(image: Array, values: tuple[Array, ...], lengths: Array) -> PixelRuns:
    maps = tuple(map(torch.from_numpy, values))
    return PixelRuns(maps, torch.from_numpy(image), torch.from_numpy(lengths), is_collapsed=True)


def check_num_pixels(maps: Tensor) -> None:
    """Raise ValueError unless the images of `maps (*, P)` have fewer than 2**30 pixels."""
    if maps.shape[-1] >= MAX_PIXELS:
        raise ValueError(f"maps: expected fewer than 2**30 pixels an image, found {maps.shape[-1]}")

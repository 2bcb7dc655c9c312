"""Joint counts of the labels of two maps, where labels are looked up from the maps' ids."""

from __future__ import annotations

from torch import Tensor

from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.joint_counts import joint_counts
from pps_torch.ops.counting.pair_counts import pair_counts
from pps_torch.ops.counting.pixel_runs import PixelRuns, check_num_pixels, pixel_runs


class LabelPairs:
    """Pixels of a batch, or runs of them, as values to look labels up for.

    Args:
        maps: `(B, P)` each, any integer dtype.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton].

    Attributes:
        maps: the values, `(R,)` each, R runs or pixels.
    """

    def __init__(self, *maps: Tensor, backend: str = "auto") -> None:
        check_num_pixels(maps[0])
        self.num_images, self.num_pixels = maps[0].shape
        self._is_triton = uses_triton(backend, maps[0])
        if self._is_triton:
            self.maps = tuple(values.reshape(-1) for values in maps)
        else:
            self._runs: PixelRuns = pixel_runs(*maps)
            self.maps = self._runs.maps

    def count(self, rows: Tensor, columns: Tensor, num_rows: int, num_columns: int) -> Tensor:
        """Count the pixels of each pair of labels.

        Args:
            rows, columns: `(R,)` int64, in `0..num_rows-1` and `0..num_columns-1`.
            num_rows, num_columns: how many labels there are.

        Returns:
            `(num_rows, num_columns)` int64, over all images.
        """
        if self._is_triton:
            shape = (self.num_images, self.num_pixels)
            maps = rows.view(shape), columns.view(shape)
            counts = joint_counts(*maps, num_rows - 1, num_columns - 1, backend="triton")
        else:
            sizes = (num_rows, num_columns, self.num_images)
            counts = pair_counts(self._runs, rows, columns, *sizes)
        return counts.long().sum(0)

    def num_pixels_of(self, is_counted: Tensor) -> Tensor:
        """Number of pixels that are true in `(R,)` bool: scalar int64."""
        if self._is_triton:
            return is_counted.sum()
        return (is_counted * self._runs.lengths).sum()

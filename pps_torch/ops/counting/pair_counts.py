"""Joint counts of two indices over runs of pixels; both must be in range."""

from __future__ import annotations

from torch import Tensor

from pps_torch.ops.counting.pixel_runs import PixelRuns


def pair_counts(
    runs: PixelRuns, rows: Tensor, columns: Tensor, num_rows: int, num_columns: int, num_images: int
) -> Tensor:
    """Count pairs of indices over the pixels of each image.

    Args:
        runs: the pixels that are counted.
        rows, columns: `(R,)` int64, in `0..num_rows-1` and `0..num_columns-1`.
        num_rows, num_columns: the size of each image's table.
        num_images: `B`.

    Returns:
        `(B, num_rows, num_columns)` int64.
    """
    keys = (runs.image * num_rows + rows) * num_columns + columns
    counts = runs.lengths.new_zeros(num_images * num_rows * num_columns)
    counts.scatter_add_(0, keys, runs.lengths)
    return counts.view(num_images, num_rows, num_columns)

"""The Triton twin of `joint_counts`: one pass over the two maps."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.counting.triton.run_ends import run_ends, run_share
from pps_torch.ops.direct_operator import direct_operator
from pps_torch.ops.launches import Launcher, num_blocks

BLOCK = 512  # four pixels a thread of Triton's four warps: loads of 16 bytes where ids are int32


@direct_operator("pps_torch::joint_counts")
def joint_counts(rows: Tensor, columns: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """See [`joint_counts`][pps_torch.ops.counting.joint_counts.joint_counts]."""
    counts = rows.new_zeros(len(rows), num_rows + 1, num_columns + 1, dtype=torch.int32)
    launch = Launcher("joint_counts", rows, columns, num_rows, num_columns)
    with torch.cuda.device_of(rows):
        launch_count_pairs(launch, rows.contiguous(), columns.contiguous(), counts)
    return counts


@joint_counts.register_fake
def _(rows: Tensor, columns: Tensor, num_rows: int, num_columns: int) -> Tensor:
    return rows.new_empty(rows.shape[0], num_rows + 1, num_columns + 1, dtype=torch.int32)


def launch_count_pairs(launch: Launcher, rows: Tensor, columns: Tensor, counts: Tensor) -> None:
    """Add the pixels of a batch to `counts`, which hold zeros."""
    num_images, num_pixels = rows.shape
    if rows.numel():
        launch(
            _count_pairs_kernel,
            num_images * num_blocks(num_pixels, BLOCK),
            rows_ptr=rows,
            columns_ptr=columns,
            counts_ptr=counts,
            num_pixels=num_pixels,
            num_rows=counts.shape[1] - 1,
            num_columns=counts.shape[2] - 1,
        )


@triton.jit(do_not_specialize=["num_rows", "num_columns"])
def _count_pairs_kernel(
    rows_ptr,
    columns_ptr,
    counts_ptr,
    num_pixels,
    num_rows,
    num_columns,
    BLOCK: tl.constexpr = BLOCK,
):
    """Add the runs of one block of pixels to the table of its image."""
    image, start = block_of_image(num_pixels, BLOCK)
    pixel = start + tl.arange(0, BLOCK)
    in_image = pixel < num_pixels
    rows_ptr += image * num_pixels
    columns_ptr += image * num_pixels
    row = tl.load(rows_ptr + pixel, mask=in_image, other=0)
    column = tl.load(columns_ptr + pixel, mask=in_image, other=0)
    is_first, is_last = pixel == 0, pixel == num_pixels - 1
    is_first, is_last = run_ends(rows_ptr, row, pixel, num_pixels, is_first, is_last)
    is_first, is_last = run_ends(columns_ptr, column, pixel, num_pixels, is_first, is_last)

    row, column = row.to(tl.int64), column.to(tl.int64)
    row = tl.where((row < 0) | (row >= num_rows), num_rows, row)
    column = tl.where((column < 0) | (column >= num_columns), num_columns, column)
    counter = (image * (num_rows + 1) + row) * (num_columns + 1) + column
    share = run_share(pixel, is_first, is_last)
    tl.atomic_add(counts_ptr + counter, share, mask=in_image & (is_first | is_last), sem="relaxed")

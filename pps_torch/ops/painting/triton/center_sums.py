"""What is summed about centres inside kernels, and their classes and scores that follow from it."""

from __future__ import annotations

import triton
import triton.language as tl

from pps_torch.ops.counting.triton.image_blocks import block_of_image
from pps_torch.ops.painting.contract import PROBABILITY_UNIT

_UNIT = tl.constexpr(PROBABILITY_UNIT)


@triton.jit
def sums_of_image(sums_ptr, image, num_centers, num_classes):
    """Where an image has its number of peaks, of centres, the votes, and three sums a centre."""
    num_peaks_ptr = sums_ptr + image * (2 + num_centers * (num_classes + 3))
    votes_ptr = num_peaks_ptr + 2
    rows_ptr = votes_ptr + num_centers * num_classes
    columns_ptr = rows_ptr + num_centers
    num_centers_ptr, probabilities_ptr = num_peaks_ptr + 1, columns_ptr + num_centers
    return num_peaks_ptr, num_centers_ptr, votes_ptr, rows_ptr, columns_ptr, probabilities_ptr


@triton.jit(do_not_specialize=["num_centers", "num_classes", "width"])
def count_votes_kernel(
    heat_ptr,
    sums_ptr,
    pred_classes_ptr,
    keep_ptr,
    areas_ptr,
    heats_ptr,
    num_centers,
    num_classes,
    num_pixels,
    width,
    BLOCK: tl.constexpr,
):
    """Find the most frequent class and the area of centres, and the heat at their mean position."""
    image, start = block_of_image(num_centers, BLOCK)
    center = start + tl.arange(0, BLOCK)
    in_table = center < num_centers
    _, _, votes_ptr, rows_ptr, columns_ptr, _ = sums_of_image(
        sums_ptr, image, num_centers, num_classes
    )
    most = tl.zeros((BLOCK,), tl.int64)
    area = tl.zeros((BLOCK,), tl.int64)
    winner = tl.zeros((BLOCK,), tl.int64)
    for category in range(num_classes):
        votes = tl.load(votes_ptr + center * num_classes + category, mask=in_table, other=0)
        winner = tl.where(votes > most, category, winner)
        most = tl.maximum(votes, most)
        area += votes
    y = tl.load(rows_ptr + center, mask=in_table, other=0) // tl.maximum(area, 1)
    x = tl.load(columns_ptr + center, mask=in_table, other=0) // tl.maximum(area, 1)
    heat = tl.load(heat_ptr + image * num_pixels + y * width + x, mask=in_table, other=0)
    row = image * num_centers + center
    tl.store(pred_classes_ptr + row, winner, mask=in_table)
    tl.store(keep_ptr + row, area > 0, mask=in_table)
    tl.store(areas_ptr + row, area, mask=in_table)
    tl.store(heats_ptr + row, heat, mask=in_table)


@triton.jit(do_not_specialize=["num_centers", "num_classes"])
def score_kernel(
    sums_ptr, areas_ptr, heats_ptr, scores_ptr, num_centers, num_classes, BLOCK: tl.constexpr
):
    """Multiply the mean probability of each centre with its heat."""
    image, start = block_of_image(num_centers, BLOCK)
    center = start + tl.arange(0, BLOCK)
    in_table = center < num_centers
    _, _, _, _, _, probabilities_ptr = sums_of_image(sums_ptr, image, num_centers, num_classes)
    row = image * num_centers + center
    probability = tl.load(probabilities_ptr + center, mask=in_table, other=0).to(tl.float64)
    area = tl.load(areas_ptr + row, mask=in_table, other=1)
    heat = tl.load(heats_ptr + row, mask=in_table, other=0).to(tl.float64)
    score = probability / _UNIT / tl.maximum(area, 1).to(tl.float64) * heat
    tl.store(scores_ptr + row, score, mask=in_table)

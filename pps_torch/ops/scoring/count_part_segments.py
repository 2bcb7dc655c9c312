"""The segments of a batch, compared for PartPQ and added to the sums of their classes."""

from __future__ import annotations

from torch import Tensor

from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.pixel_runs import check_num_pixels
from pps_torch.ops.scoring.class_sums import add_to_class_sums
from pps_torch.ops.scoring.compare_part_segments import compare_part_segments
from pps_torch.ops.scoring.contract import PixelRules, fits_table


def count_part_segments(
    class_sums: Tensor,
    faults: Tensor,
    unknown_gt_pixels: Tensor,
    unknown_pixels: Tensor,
    uids: Tensor,
    pps: Tensor,
    rules: PixelRules,
    *,
    backend: str = "auto",
) -> None:
    """Count the segments of a batch, as PartPQ does.

    Args:
        class_sums, faults: `(C, 5)` and `(6,)` int64, contiguous, added to in place: as for
            [`add_to_class_sums`][pps_torch.ops.scoring.class_sums.add_to_class_sums], and by
            `PIXEL_FAULTS` and `SEGMENT_FAULTS`.
        unknown_gt_pixels, unknown_pixels: scalar int64, added to in place: pixels of the ground
            truth and of the prediction whose scene id is unknown.
        uids, pps, rules: as for [`part_pixels`][pps_torch.ops.scoring.part_pixels.part_pixels].
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton]. Triton counts where
            [`fits_table`][pps_torch.ops.scoring.contract.fits_table] says so of the capacity. It
            takes 12 bytes of room a pixel, as each may be a run of its own, and that of the tables
            of overlaps; it touches only as much as there are runs and segments.

    Raises:
        ValueError: for images of 2**30 pixels or more.
    """
    has_table = fits_table(rules.capacity + 1, rules.capacity + 1)
    if uses_triton(backend, class_sums) and has_table:
        from pps_torch.ops.scoring.triton import count_part_segments as twin

        check_num_pixels(uids)
        sums = class_sums, faults, unknown_gt_pixels, unknown_pixels
        twin.count_part_segments(*sums, uids, pps, *rules)
        return
    found = compare_part_segments(uids, pps, rules, backend="torch")
    classes = found.gt_class, found.pred_class
    add_to_class_sums(class_sums, found.matches, found.scores, *classes, backend="torch")
    faults += found.faults
    unknown_gt_pixels += found.num_unknown[0]
    unknown_pixels += found.num_unknown[1]

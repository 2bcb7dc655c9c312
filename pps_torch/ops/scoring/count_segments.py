"""The segments of a batch of panoptic maps, matched and added to the sums of their classes."""

from __future__ import annotations

from torch import Tensor

from pps_torch.graph_capture import is_on_host
from pps_torch.ops.backend import uses_triton
from pps_torch.ops.counting.pixel_runs import check_num_pixels
from pps_torch.ops.scoring.class_sums import add_to_class_sums
from pps_torch.ops.scoring.contract import fits_table
from pps_torch.ops.scoring.match_segments import match_segments
from pps_torch.ops.scoring.on_host import count_on_host
from pps_torch.ops.scoring.segment_table import count_faults, segment_table


def count_segments(
    class_sums: Tensor,
    faults: Tensor,
    gt_map: Tensor,
    pred_map: Tensor,
    gt_categories: Tensor,
    pred_categories: Tensor,
    is_crowd: Tensor,
    class_ids: Tensor,
    *,
    last_crowd_only: bool = False,
    lengths: Tensor | None = None,
    backend: str = "auto",
) -> None:
    """Count the segments of a batch, as PQ does.

    Args:
        class_sums, faults: `(C, 5)` and `(4,)` int64, contiguous, added to in place: as for
            [`add_to_class_sums`][pps_torch.ops.scoring.class_sums.add_to_class_sums] and from
            [`count_faults`][pps_torch.ops.scoring.segment_table.count_faults].
        gt_map, pred_map: `(B, P)` segment ids of any integer dtype; 0 is void.
        gt_categories, pred_categories: `(B, S)` integers, the category of segments 1..S of a map,
            negative in unused rows.
        is_crowd: `(B, S)` bool.
        class_ids: `(C,)` int64, the categories.
        last_crowd_only: as for
            [`match_segments`][pps_torch.ops.scoring.match_segments.match_segments].
        lengths: `(B, P)` int64, of maps of runs the pixels of each; None for maps of pixels. Torch
            counts runs on any backend.
        backend: see [`uses_triton`][pps_torch.ops.backend.uses_triton]. Triton counts where
            [`fits_table`][pps_torch.ops.scoring.contract.fits_table] says so.

    Raises:
        ValueError: for images of 2**30 pixels or more.
    """
    images = gt_map, pred_map, gt_categories, pred_categories, is_crowd
    has_table = fits_table(*(c.shape[1] + 2 for c in (gt_categories, pred_categories)))
    if lengths is None and uses_triton(backend, class_sums) and has_table:
        from pps_torch.ops.scoring.triton import count_segments as twin

        check_num_pixels(gt_map)
        twin.count_segments(class_sums, faults, *images, class_ids, last_crowd_only)
        return
    if is_on_host(class_sums):
        count_on_host(class_sums, faults, *images, class_ids, last_crowd_only, lengths)
        return
    table = segment_table(*images, class_ids, lengths=lengths, backend="torch")
    matches = match_segments(*table, last_crowd_only=last_crowd_only, backend="torch")
    classes = table.gt_class, table.pred_class
    add_to_class_sums(class_sums, matches, matches.iou, *classes, backend="torch")
    faults += count_faults(table, matches, backend="torch")

"""The kernels of the metrics compile for Hopper, in each variant that a launch can ask for.

Run as a script, without Triton's interpreter, this file compiles them; no GPU is needed.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import ROOT
from tests.triton_support import needs_triton

# Types of two maps: each integer dtype on either side.
MAP_TYPES = (("*i32", "*i32"), ("*u8", "*i64"), ("*i64", "*u8"), ("*i16", "*i8"), ("*i8", "*i16"))
# Arguments that are neither int64 tables nor int32 numbers.
TYPES = {
    **dict.fromkeys(["is_crowd_ptr", "is_fn_ptr", "is_fp_ptr", "is_present_ptr"], "*i1"),
    **dict.fromkeys(["has_parts_ptr", "has_parts_class_ptr", "is_thing_group_ptr"], "*i1"),
    **dict.fromkeys(["gt_marks_ptr", "pred_marks_ptr", "is_labelled_ptr", "crowds_ptr"], "*i1"),
    **dict.fromkeys(["runs_ptr", "num_runs_ptr", "num_present_ptr"], "*i32"),
    **dict.fromkeys(["joint_ptr", "gt_parts_ptr", "pred_parts_ptr", "index_ptr"], "*i32"),
    **dict.fromkeys(["gt_index_ptr", "pred_index_ptr"], "*i32"),
    **dict.fromkeys(["iou_ptr", "mask_iou_ptr", "scores_ptr"], "*fp64"),
}
CONSTANTS = {
    **{"VOID": -1, "UNKNOWN": -2, "UNUSED": -3, "PPS_VOID": 255, "UNDEFINED_PART": 0},
    **{"OUTSIDE": 0, "SAME_PART": 1, "OTHER_PART": 2, "NUM_PIDS": 101, "NUM_PART_LABELS": 256},
    **{"LIMB_BITS": 30, "FRACTION_BITS": 54, "LAST_CROWD_ONLY": True},
    **{"NUM_PIXEL_FAULTS": 4},
}


@pytest.mark.slow
@needs_triton
def test_every_variant_compiles():
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "div.rn.f64" in done.stdout, "qualities are divided as IEEE 754 says"


def compile_all() -> None:
    """Compiles the kernels and prints the PTX of the last one, which divides."""
    from pps_torch.ops.counting.triton import joint_counts
    from pps_torch.ops.scoring.triton import (
        class_sums,
        count_part_segments,
        count_segments,
        dense_indices,
        match_segments,
        mean_part_iou,
        part_pixels,
        part_runs,
        segment_classes,
    )

    for one, other in MAP_TYPES:
        maps = {"counts_ptr": "*i32", "rows_ptr": one, "columns_ptr": other}
        compiled(joint_counts, "_count_pairs_kernel", **maps)
        compiled(part_runs, "_list_runs_kernel", uids_ptr=one, pps_ptr=other)
        compiled(segment_classes, "_look_up_classes_kernel", category_ids_ptr=one)
    # Triton makes a constant of a 1.
    ones = {"num_pixels": 1, "num_rows": 1, "num_columns": 1, "capacity": 1, "last_sid": 1}
    maps = {"counts_ptr": "*i32", "rows_ptr": "*u8", "columns_ptr": "*i64"}
    compiled(joint_counts, "_count_pairs_kernel", **maps, **ones)
    compiled(part_runs, "_list_runs_kernel", uids_ptr="*u8", pps_ptr="*u8", **ones)
    compiled(part_pixels, "_count_overlaps_kernel")
    compiled(part_pixels, "_count_parts_kernel", counts_ptr="*i32")
    compiled(segment_classes, "_count_unclassed_kernel")
    compiled(dense_indices, "_number_keys_kernel")
    compiled(match_segments, "_judge_predictions_kernel")
    compiled(match_segments, "_judge_predictions_kernel", LAST_CROWD_ONLY=False)
    compiled(match_segments, "_match_kernel")
    for name in ("_judge_predictions_kernel", "_match_kernel"):
        compiled(match_segments, name, num_present_ptr=None)
    compiled(count_segments, "_look_up_segments_kernel")
    compiled(count_segments, "_add_matches_kernel")
    compiled(count_part_segments, "_number_segments_kernel")
    compiled(count_part_segments, "_add_scores_kernel")
    compiled(class_sums, "_add_segments_kernel")
    print(compiled(mean_part_iou, "_average_part_ious_kernel").asm["ptx"])


def compiled(module, name: str, **types: str | int | bool | None):
    """One kernel of a module; what is not said by `types` follows from the tables above."""
    from tests.ops.kernel_compiler import compile_for_hopper

    kernel = getattr(module, name)
    sizes = {size: getattr(module, size, None) for size in ("BLOCK", "TILE", "STEP", "CLEARED")}
    known = {**TYPES, **CONSTANTS, **sizes, **types}
    defaults = {n: "*i64" if n.endswith("_ptr") else "i32" for n in kernel.arg_names}
    return compile_for_hopper(kernel, **{n: known.get(n, defaults[n]) for n in kernel.arg_names})


if __name__ == "__main__":
    compile_all()

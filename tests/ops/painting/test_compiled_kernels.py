"""The kernels of the merges compile for Hopper, in every variant that their launchers ask for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import ROOT
from tests.triton_support import needs_triton

FLOATS = ("*fp16", "*bf16", "*fp32", "*fp64")
INTEGERS = ("*u8", "*i8", "*i16", "*i32", "*i64")
SIZES = {"first": "i32", "num_masks": "i32", "num_tiles": "i32"}
GREEDY = {"words_ptr": "*i32", "state_ptr": "*i32"}


def greedy_words():
    from pps_torch.ops.painting.triton import greedy_words as words

    for tile, tiles in ((512, 4), (64, 32), (1024, 2)):
        yield words._choose_kernel, {
            **GREEDY, "eligible_ptr": "*i1", "keep_ptr": "*i1", **SIZES, "threshold_bits": "i64",
            "TILE": tile, "TILES": tiles,
        }  # fmt: skip
    for rows, columns in ((1, 512), (1, 64), (16, 64)):
        yield words._paint_owners_kernel, {
            "owner_ptr": "*i32", **GREEDY, "num_masks": "i32", "num_tiles": "i32",
            "height": "i32", "width": "i32", "ROWS": rows, "COLUMNS": columns,
        }  # fmt: skip


def greedy_masks():
    from pps_torch.ops.painting.triton import greedy_masks as masks

    for integer, tile, size, stride in (
        ("*i32", 512, 4, 1),
        ("*u8", 64, 1, 1),
        ("*u8", 64, 1, "i32"),
    ):
        yield masks._lay_masks_kernel, {
            "masks_ptr": integer, "order_ptr": "*i64", "eligible_ptr": "*i1", "owner_ptr": "*i32",
            **GREEDY, "image_stride": "i64", "mask_stride": "i32", "pixel_stride": stride, **SIZES,
            "num_pixels": "i32", "num_loads": "i32", "TILE": tile, "BYTES": size,
        }  # fmt: skip


def greedy_boxes():
    from pps_torch.ops.painting.triton import greedy_boxes as boxes

    for dtype in FLOATS:
        yield boxes._lay_boxes_kernel, {
            "probs_ptr": dtype, "boxes_ptr": dtype, "order_ptr": "*i64", "eligible_ptr": "*i1",
            "owner_ptr": "*i32", **GREEDY, **SIZES, "side": "i32", "height": "i32", "width": "i32",
            "threshold": "fp32", "ROWS": 16, "COLUMNS": 64,
        }  # fmt: skip


def rank_instances():
    from pps_torch.ops.painting.triton import rank_instances as rank

    for scores in FLOATS:
        for classes in INTEGERS:
            yield rank._rank_kernel, {
                "scores_ptr": scores, "classes_ptr": classes, "order_ptr": "*i64",
                "eligible_ptr": "*i1", "num_instances": "i32", "threshold_bits": "i64",
                "INSTANCES": 32, "OTHERS": 64,
            }  # fmt: skip


def add_stuff():
    from pps_torch.ops.painting.triton import add_stuff as stuff
    from pps_torch.ops.painting.triton import paint_ids

    for label in INTEGERS:
        yield stuff._count_slots_kernel, {
            "owner_ptr": "*i32", "label_ptr": label, "stuff_ptr": "*i64", "slot_ptr": "*i32",
            "counts_ptr": "*i32", "first_count": "i32", "num_pixels": "i32",
            "num_instances": "i32", "num_stuff": "i32", "BLOCK": 1024,
        }  # fmt: skip
    for scores in FLOATS:
        for has_sources in (False, True):
            yield stuff._fill_table_kernel, {
                "keep_ptr": "*i1", "order_ptr": "*i64", "scores_ptr": scores, "classes_ptr": "*i32",
                "stuff_ptr": "*i64", "sources_ptr": "*i64", "counts_ptr": "*i32",
                "first_count": "i32", "segment_ids_ptr": "*i32", "category_ids_ptr": "*i64",
                "is_thing_ptr": "*i1", "segment_scores_ptr": scores, "areas_ptr": "*i64",
                "source_ptr": "*i64", "num_segments_ptr": "*i64", "num_instances": "i32",
                "num_slots": "i32", "least_area": "i64", "HAS_SOURCES": has_sources, "BLOCK": 256,
            }  # fmt: skip
    yield paint_ids._paint_kernel, {
        "owner_ptr": "*i32", "ids_ptr": "*i64", "painted_ptr": "*i32", "num_pixels": "i32",
        "num_owners": "i32", "BLOCK": 1024,
    }  # fmt: skip


def pps_channels():
    from pps_torch.ops.painting.triton import pps_channels as pps

    for dtype in INTEGERS:
        yield pps._number_instances_kernel, {
            "category_ids_ptr": dtype, "sids_iids_ptr": "*i64", "num_slots": "i32",
            "ignore_label": "i32", "BLOCK": 32,
        }  # fmt: skip
        yield pps._look_up_kernel, {
            "segment_ptr": "*i32", "part_ptr": dtype, "sids_iids_ptr": "*i64", "pids_ptr": "*i64",
            "pps_ptr": "*i32", "num_pixels": "i32", "num_slots": "i32", "num_rows": "i32",
            "num_columns": "i32", "BLOCK": 1024,
        }  # fmt: skip


def sampled(dtype, **tile):
    """What every kernel takes that samples logits of a type."""
    import triton.language as tl

    compute = tl.float64 if dtype == "*fp64" else tl.float32
    for interpolates in (False, True):
        yield {
            "image_stride": "i64", "channel_stride": "i32", "row_stride": "i32", "column_stride": 1,
            "height": "i32", "width": "i32", "out_height": "i32", "out_width": "i32",
            "INTERPOLATES": interpolates, "OFFSET": tl.int32, "DTYPE": compute, **tile,
        }  # fmt: skip


def upsampled_ids():
    from pps_torch.ops.painting.triton import upsampled_ids as ids

    for dtype in FLOATS:
        for arguments in sampled(dtype, ROWS=8, COLUMNS=64):
            yield ids._choose_id_kernel, {
                "logits_ptr": dtype, "ids_ptr": "*i32", "best_ptr": "*i32", "num_channels": "i32",
                **arguments,
            }  # fmt: skip


def query_segments():
    from pps_torch.ops.painting.triton import query_segments as queries

    for dtype in FLOATS:
        for arguments in sampled(dtype, ROWS=2, COLUMNS=64):
            yield queries._compete_kernel, {
                "mask_logits_ptr": dtype, "scores_ptr": "*fp32", "classes_ptr": "*i64",
                "owner_ptr": "*i32", "counts_ptr": "*i64", "num_queries": "i32",
                "num_classes": "i32", "threshold_bits": "i64", **arguments,
            }  # fmt: skip
    yield queries._find_first_kernel, {
        "classes_ptr": "*i64", "thing_ids_ptr": "*i64", "counts_ptr": "*i64", "first_ptr": "*i64",
        "num_queries": "i32", "num_things": "i32", "fraction_bits": "i64", "BLOCK": 32,
    }  # fmt: skip
    for dtype in ("*fp32", "*fp64"):
        yield queries._fill_table_kernel, {
            "classes_ptr": "*i64", "scores_ptr": dtype, "thing_ids_ptr": "*i64",
            "counts_ptr": "*i64", "first_ptr": "*i64", "segment_ptr": "*i64",
            "category_ids_ptr": "*i64", "is_thing_ptr": "*i1", "segment_scores_ptr": dtype,
            "areas_ptr": "*i64", "source_ptr": "*i64", "num_segments_ptr": "*i64",
            "num_queries": "i32", "num_things": "i32", "BLOCK": 32,
        }  # fmt: skip


def center_instances():
    import triton.language as tl

    from pps_torch.ops.painting.triton import center_instances as centers

    sums = {"sums_ptr": "*i64", "num_centers": "i32", "num_classes": "i32"}
    yield centers._split_classes_kernel, {
        "thing_ids_ptr": "*i64", "is_thing_ptr": "*i1", "stuff_ids_ptr": "*i64",
        "num_things": "i32", "num_stuff": "i32", "num_classes": "i32", "BLOCK": 1024,
    }  # fmt: skip
    for heat, bits in (("*fp32", tl.int32), ("*fp64", tl.int64)):
        yield centers.list_peaks_kernel, {
            "heat_ptr": heat, "highest_ptr": heat, "peaks_ptr": "*i32", **sums, "num_pixels": "i32",
            "threshold_bits": "i64", "BLOCK": 1024,
        }  # fmt: skip
        yield centers.select_centers_kernel, {
            "heat_ptr": heat, "peaks_ptr": "*i32", **sums, "unsorted_ptr": "*i64",
            "order_ptr": "*i64", "centers_ptr": "*i64", "places_ptr": "*fp32", "num_pixels": "i32",
            "width": "i32", "BITS": bits, "BLOCK": 1024,
        }  # fmt: skip
        yield centers.count_votes_kernel, {
            "heat_ptr": heat, **sums, "pred_classes_ptr": "*i64", "keep_ptr": "*i1",
            "areas_ptr": "*i64", "heats_ptr": heat, "num_pixels": "i32", "width": "i32",
            "BLOCK": 32,
        }  # fmt: skip
        yield centers.score_kernel, {
            **sums, "areas_ptr": "*i64", "heats_ptr": heat, "scores_ptr": heat, "BLOCK": 32,
        }  # fmt: skip
    for dtype in FLOATS:
        wide = "*fp64" if dtype == "*fp64" else "*fp32"
        for arguments in sampled(dtype, ROWS=8, COLUMNS=64):
            maps = {"sem_seg_ptr": "*i32", "owner_ptr": "*i32"}
            yield centers._choose_class_kernel, {
                "logits_ptr": dtype, "sem_seg_ptr": "*i32", "totals_ptr": wide,
                "num_classes": "i32", **arguments,
            }  # fmt: skip
            yield centers._group_pixels_kernel, {
                "offsets_ptr": dtype, **maps, "is_thing_ptr": "*i1", "places_ptr": wide, **sums,
                **arguments,
            }  # fmt: skip
            yield centers._sum_probabilities_kernel, {
                "logits_ptr": dtype, **maps, "totals_ptr": wide, "pred_classes_ptr": "*i64",
                **sums, **arguments,
            }  # fmt: skip


OPERATIONS = [
    greedy_words,
    greedy_masks,
    greedy_boxes,
    rank_instances,
    add_stuff,
    pps_channels,
    upsampled_ids,
    query_segments,
    center_instances,
]


@pytest.mark.slow
@needs_triton
def test_every_variant_compiles():
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, __file__]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    numbers = dict(line.split() for line in run.stdout.splitlines())
    assert set(numbers) == {operation.__name__ for operation in OPERATIONS}
    assert all(int(number) > 0 for number in numbers.values())


def compile_all(operation) -> int:
    """Compiles the kernels of an operation; also as launched with sizes of 1, made constants."""
    from tests.ops.kernel_compiler import compile_for_hopper

    count = 0
    for kernel, arguments in operation():
        ones = {k: 1 if v == "i32" and k != "first" else v for k, v in arguments.items()}
        for variant in (arguments, ones):
            compile_for_hopper(kernel, **variant)
            count += 1
    return count


if __name__ == "__main__":
    for operation in OPERATIONS:
        print(operation.__name__, compile_all(operation), flush=True)

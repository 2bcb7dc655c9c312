"""Images of many segments, such as cells or parcels: time and peak memory of metrics and commands.

Each number comes from a process of its own: processor time, and a peak that includes what torch
itself and the maps take.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.scenes import street_spec
from benchmarks.table import Goal, Measurement, Row, Spread
from pps_torch import (
    BoundaryPanopticQuality,
    EvalSpec,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartPanopticQuality,
)
from pps_torch.io.images import write_id_map
from pps_torch.io.writers import PanopticWriter, write_pps
from pps_torch.pipelines import RunOptions, eval_partpq, eval_pq, prepare_data, report

#: Segments of either map, in an image of 2048 x 2048.
NUMBERS = (1_250, 5_000, 20_000)
SIZE, NUM_CLASSES, ROUNDS = 2048, 40, 3
CATEGORIES = [
    {"id": i, "name": f"class {i}", "isthing": int(i < NUM_CLASSES // 2)}
    for i in range(NUM_CLASSES)
]
METRICS = {
    "PQ": PanopticQuality,
    "PQ, rules of torchmetrics": partial(PanopticQuality, rules="torchmetrics"),
    "PQ-dagger": ModifiedPanopticQuality,
    "Boundary PQ": BoundaryPanopticQuality,
}
FURTHER = ("records of PQ", "mIoU of PQ", "PartPQ", "records of PartPQ")
COMMANDS = ("eval_pq --tables", "report of PQ", "eval_partpq --tables", "report of PartPQ")
OPTIONS = RunOptions(device="cpu", quiet=True, overwrite=True)


def many_segments() -> list[Measurement]:
    """Rows of each call, one for each number of segments."""
    names = ("from_segments", *METRICS, *FURTHER, *COMMANDS)
    return [Measurement(f"{name}, many segments", partial(_rows, name)) for name in names]


def _rows(name: str) -> list[Row]:
    rows = []
    for number in NUMBERS:
        command = [sys.executable, "-m", "benchmarks.many_segments", name, str(number)]
        tools = Path(__file__).parent.parent
        done = subprocess.run(command, cwd=tools, capture_output=True, text=True, check=True)
        seconds, peak = json.loads(done.stdout)
        sizes, is_largest = f"{number:,} segments of either map", number == NUMBERS[-1]
        for unit, values, most in (("s", seconds, 1.0), ("MiB", [peak], 1024.0)):
            goal = Goal(at_most=most) if is_largest else Goal()
            what = name if unit == "s" else f"{name}, peak of the process"
            rows.append(Row(what, sizes, Spread.of(values), goal=goal, unit=unit))
    return rows


def call_of(name: str, number: int) -> Callable[[], object]:
    """One call on a pair of maps, each with as many segments."""
    gt_ids, pred_ids = _cells(number)
    if name.endswith("PartPQ"):
        maps, spec = _part_maps(gt_ids, pred_ids), street_spec(NUM_CLASSES)
        part_metric = PartPanopticQuality(spec, capacity=number)
        call = part_metric.update if name == "PartPQ" else part_metric.record_segments
        return lambda: call(*maps)
    infos = [
        [
            {"id": i, "category_id": i % NUM_CLASSES, "isthing": 1}
            for i in ids.unique().tolist()
            if i
        ]
        for ids in (gt_ids, pred_ids)
    ]
    if name == "from_segments":
        return lambda: PanopticTarget.from_segments(gt_ids, infos[0])
    target = PanopticTarget.from_segments(gt_ids, infos[0])
    pred = PanopticSegmentation.from_segments(pred_ids, infos[1])
    metric = METRICS.get(name, PanopticQuality)(CATEGORIES)
    if name == "mIoU of PQ":
        return lambda: MeanIoU(CATEGORIES).add(metric.compare(pred, target))
    call = metric.record_segments if name == "records of PQ" else metric.update
    return lambda: call(pred, target)


def command_of(name: str, number: int, folder: Path) -> Callable[[], object]:
    """One run of a command on files of the same maps, which are written into a folder."""
    evaluate = (_eval_partpq if "part" in name.lower() else _eval_pq)(number, folder)
    if name.endswith("--tables"):
        return evaluate
    evaluate()
    return lambda: report(folder / "scores", folder / "report.html", options=OPTIONS)


def _eval_pq(number: int, folder: Path) -> Callable[[], object]:
    files = [folder / "gt.json", folder / "pred.json"]
    for file, ids in zip(files, _cells(number)):
        infos = [{"id": i, "category_id": i % NUM_CLASSES} for i in ids.unique().tolist() if i]
        with PanopticWriter(file, CATEGORIES) as writer:
            writer.write("1", PanopticSegmentation.from_segments(ids, infos))
    settings = {"save_dir": folder / "scores", "tables": True, "options": OPTIONS}
    return lambda: eval_pq(*files, **settings)


def _eval_partpq(number: int, folder: Path) -> Callable[[], object]:
    parts = ["first", "second", "third", "fourth"]
    classes = [
        {"id": i + 1, "name": f"class {i}", "isthing": 1, "parts": parts}
        for i in range(NUM_CLASSES)
    ]
    spec_file, gt, pred = folder / "cells_evalspec.yaml", folder / "gt", folder / "pred"
    EvalSpec.from_classes(classes).save(spec_file)
    pps, uids = _part_maps(*_cells(number))
    gt.mkdir()
    write_id_map(gt / "1.tif", uids.numpy())
    write_pps(pred / "1.png", pps, form="png16")
    images_json = prepare_data(gt, folder, "Other", options=OPTIONS)
    arguments = spec_file, gt, pred, images_json, folder / "scores"
    return lambda: eval_partpq(*arguments, tables=True, options=OPTIONS)


def _cells(number: int) -> tuple[Tensor, Tensor]:
    """A square of cells, and the same a little to the right and below: `(H, W)` int32 each."""
    side = 1
    while side * side < number:
        side += 1
    place = torch.arange(SIZE) * side // SIZE
    ids = place[:, None] * side + place + 1
    ids = torch.where(ids <= number, ids, 0).int()
    shifted, by = torch.zeros_like(ids), max(1, SIZE // side // 7)
    shifted[by:, by:] = ids[:-by, :-by]
    return ids, shifted


def _part_maps(gt_ids: Tensor, pred_ids: Tensor) -> tuple[Tensor, Tensor]:
    """PPS map and uids of cells of 40 classes, each with parts in stripes of four rows."""
    parts = (torch.arange(SIZE)[:, None] % 16 // 4 + 1).expand(SIZE, SIZE)
    gt, pred = (
        torch.stack([(ids - 1) % NUM_CLASSES + 1, (ids - 1) // NUM_CLASSES, parts]) * (ids > 0)
        for ids in (gt_ids, pred_ids)
    )
    return pred, gt[0] * 100_000 + gt[1] * 100 + gt[2]


def main() -> None:
    """Print the seconds of a few calls, and the peak of this process in MiB."""
    name, number = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        is_command = name in COMMANDS
        call = command_of(name, number, Path(folder)) if is_command else call_of(name, number)
        seconds = []
        for _ in range(ROUNDS):
            begin = time.process_time()
            call()
            seconds.append(time.process_time() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([seconds, peak]))


if __name__ == "__main__":
    main()

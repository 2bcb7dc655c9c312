"""How each operation grows with instances, pixels, batch and classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from benchmarks import operations
from benchmarks.on_device import Device
from benchmarks.scenes import Sizes
from benchmarks.table import GrowthPoint, Measurement

OPERATIONS = {
    "merge_panoptic": operations.merge_panoptic,
    "merge_panoptic_boxes": operations.merge_panoptic_boxes,
    "PPSPostProcessor": operations.post_processor,
    "merge_panoptic_queries": operations.merge_panoptic_queries,
    "PanopticQuality.update": operations.panoptic_quality,
    "PartPanopticQuality.update": operations.part_panoptic_quality,
}

#: Around one image of 1024 x 2048 with 100 instances and 19 classes.
AXES = {
    "instances": [{"instances": n} for n in (10, 30, 100, 300, 1000)],
    "pixels": [
        {"height": h, "width": w} for h, w in ((512, 1024), (1024, 2048), (2160, 3840))
    ],
    "batch": [{"batch": n} for n in (1, 4, 8, 32)],
    "classes": [{"classes": n} for n in (20, 100, 300)],
}  # fmt: skip


def growth(device: Device) -> list[Measurement]:
    """One measurement for each operation and axis."""
    return [
        Measurement(f"{name}, growing {axis}", partial(measure_growth, device, name, axis))
        for axis in AXES
        for name in OPERATIONS
    ]


def measure_growth(device: Device, name: str, axis: str) -> Iterator[GrowthPoint]:
    """Time one operation along one axis; stop at the first size that does not fit."""
    clock = replace(device.clock, rounds=min(device.rounds, 15), limit=1.0)
    for changed in AXES[axis]:
        point = GrowthPoint(axis, " x ".join(map(str, changed.values())), name)
        try:
            operation = OPERATIONS[name](
                replace(Sizes(), **changed).scaled(device.scale), device.device
            )
            operation.result()  # raises if a size is above a capacity
            point.floor = operation.moved_bytes() / device.bandwidth
            point.ours = clock.called(operation.run)
            replayed = clock.replayed(operation.run)
            point.replayed = replayed and replayed[0]
        except torch.cuda.OutOfMemoryError:
            point.note = "out of memory"
        yield point
        if device.device.type == "cuda":
            operation = replayed = None
            torch.cuda.empty_cache()
        if point.note:
            return

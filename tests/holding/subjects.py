"""Every public module with something to do: the metrics count a scene, the mergers merge one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

import pps_torch
from pps_torch import (
    BoxPanopticMerger,
    CenterPanopticMerger,
    PanopticMerger,
    PanopticSegmentation,
    PPSMerger,
    PPSPostProcessor,
    QueryPanopticMerger,
)
from pps_torch.metrics.sum_metric import SumMetric
from tests.factories import boxed_instances, instances, queries
from tests.golden.state_dicts import record
from tests.merging.scenes import SPEC, heads

SIZE, CLASSES = (24, 32), [7, 11, 24, 26]


class Subject(NamedTuple):
    """A module to make, and what it gives: a result, or tensors."""

    make: Callable[[], nn.Module]
    run: Callable[[nn.Module], Any]


def merged(*inputs: Any) -> Callable[[nn.Module], list[torch.Tensor]]:
    """Run a merger, and give all tensors of its outputs."""

    def run(module: nn.Module) -> list[torch.Tensor]:
        outputs = module(*inputs)
        return [
            tensor
            for output in (outputs if isinstance(outputs, tuple) else (outputs,))
            for tensor in (output if isinstance(output, tuple) else (output,))
        ]

    return run


def counted(module: nn.Module) -> dict[str, Any]:
    """Count the scene, and give the result of all that the metric has counted."""
    record.update(module)
    return module.compute().as_dict()


def _merging_subjects() -> dict[str, Subject]:
    rng = np.random.default_rng(0)
    sem_seg, masks, scores, classes = map(torch.from_numpy, instances(rng, SIZE, 4, CLASSES))
    probs, boxes = map(torch.from_numpy, boxed_instances(rng, SIZE, 4))
    class_logits, mask_logits = map(torch.from_numpy, queries(rng, SIZE, 5, 3))
    heatmap, offsets, logits = (
        torch.from_numpy(rng.random((n, *SIZE), np.float32)) for n in (1, 2, 3)
    )
    segments = [{"id": 1, "category_id": 7}, {"id": 2, "category_id": 26}]
    ids = torch.ones(SIZE, dtype=torch.long)
    ids[4:8, 5:20] = 2
    panoptic = PanopticSegmentation.from_segments(ids, segments)
    part_seg = torch.from_numpy(rng.integers(0, 24, SIZE))
    small = {"stuff_area_limit": 4}
    return {
        "PanopticMerger": Subject(
            lambda: PanopticMerger([7, 11], **small), merged(sem_seg, masks, scores, classes)
        ),
        "BoxPanopticMerger": Subject(
            lambda: BoxPanopticMerger([7, 11], **small),
            merged(sem_seg, probs, boxes, scores, classes),
        ),
        "QueryPanopticMerger": Subject(
            lambda: QueryPanopticMerger([0], object_mask_threshold=0.1),
            merged(class_logits, mask_logits),
        ),
        "CenterPanopticMerger": Subject(
            lambda: CenterPanopticMerger([1], **small), merged(logits, heatmap, 4 * offsets)
        ),
        "PPSMerger": Subject(lambda: PPSMerger(SPEC), merged(panoptic, part_seg)),
        "PPSPostProcessor": Subject(
            lambda: PPSPostProcessor(SPEC, **small), merged(*heads(rng, (), 4), SIZE)
        ),
    }


def _metric_subjects() -> dict[str, Subject]:
    return {
        name: Subject(lambda name=name: record.metrics()[name], counted)
        for name in record.metrics()
    }


SUBJECTS = {**_metric_subjects(), **_merging_subjects()}


def is_metric(name: str) -> bool:
    """Whether a subject counts."""
    return isinstance(SUBJECTS[name].make(), SumMetric)


def public_modules() -> set[str]:
    """The names of all modules that the package offers."""
    public = {name: getattr(pps_torch, name) for name in pps_torch.__all__}
    return {
        name
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, nn.Module)
    }


def expect_same(found: Any, expected: Any, way: str = "") -> None:
    """Equal results, or lists of tensors equal in dtype and bits."""
    if isinstance(expected, list):
        assert len(found) == len(expected), way
        for one, other in zip(found, expected):
            assert one.dtype == other.dtype and torch.equal(one, other), way
    else:
        assert found == expected, way

"""What may not change a bit of the result: batches, order, shards, the backend, compilation."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import torch

from pps_torch import ModifiedPanopticQuality, PartPanopticQuality
from pps_torch.ops import backend as backends
from tests.factories import CATEGORIES, split_batches
from tests.random_scenes.compare import expect_true
from tests.random_scenes.merging_checks import merge
from tests.random_scenes.metric_checks import Check, inputs
from tests.random_scenes.scenes import SPECS, Scene, Setting, stacked


def state_of(metric: torch.nn.Module) -> torch.Tensor:
    """All sums of a metric in one tensor on the host."""
    return torch.cat([value.flatten() for value in metric.state_dict().values()]).cpu()


def check_batch(check: Check, batch: list, total: torch.Tensor) -> None:
    """All images at once; `total` is the sum of their states one by one."""
    metric = check.make().to(batch[0][0][0].device)
    check.count(metric, *stacked(batch))
    expect_true("a batch counts otherwise", torch.equal(state_of(metric), total))


def check_shards(check: Check, batch: list, total: torch.Tensor, rng) -> None:
    """Random order and batches, spread over three metrics, as processes do, and then merged."""
    metrics = [check.make().to(batch[0][0][0].device) for _ in range(3)]
    batch = [batch[i] for i in rng.permutation(len(batch))]
    for number, piece in enumerate(split_batches(rng, len(batch))):
        check.count(metrics[number % 3], *stacked(batch[piece]))
    summed = torch.stack([state_of(metric) for metric in metrics]).sum(0)
    expect_true("shards count otherwise", torch.equal(summed, total))
    merged = metrics[0].merge_state(metrics[1]).merge_state(metrics[2])
    expect_true("merged shards count otherwise", torch.equal(state_of(merged), total))


def check_merges_of_batch(scenes: list[Scene], singles: list, device: torch.device) -> None:
    """The mergers on all images at once."""
    heads = [np.stack(column) for column in zip(*(scene.heads for scene in scenes))]
    parts = np.stack([scene.part_seg for scene in scenes])
    panoptic, pps = merge(heads, parts, scenes[0], device)
    for image, (one, one_pps) in enumerate(singles):
        fields = zip(panoptic, one)
        is_same = all(torch.equal(many[image], field) for many, field in fields)
        expect_true("a batch merges otherwise", is_same and torch.equal(pps[image], one_pps))


def has_twins() -> bool:
    """Whether Triton's kernels can run here: on CUDA, or in the interpreter."""
    return backends._HAS_TRITON and (torch.cuda.is_available() or backends._IS_INTERPRETED)


def check_twins(check: Check, batch: list) -> None:
    """The plain torch version and the Triton kernels."""
    states = []
    for backend in ("torch", "triton"):
        metric = check.make(backend=backend, **check.twins).to(batch[0][0][0].device)
        check.count(metric, *stacked(batch))
        states.append(state_of(metric))
    expect_true("Triton counts otherwise", torch.equal(*states))


def check_merging_twins(scene: Scene, device: torch.device) -> None:
    """The plain torch version of the mergers and the Triton kernels."""
    one, other = (
        merge(scene.heads, scene.part_seg, scene, device, backend)
        for backend in ("torch", "triton")
    )
    is_same = all(torch.equal(a, b) for a, b in zip((*one[0], one[1]), (*other[0], other[1])))
    expect_true("Triton merges otherwise", is_same)


class CompiledSetting(Setting):
    """One size, spec and capacity, so that the metrics are compiled once."""

    def __init__(self) -> None:
        super().__init__(0, 0)
        self.size, self.categories, self.num_ids = (9, 14), CATEGORIES, 12
        self.spec, self.capacity, self.num_uids, self.speckled = SPECS["remapped"], 255, 8, 0.05


@lru_cache
def _compiled(compiler: str, device: torch.device):
    """(source, eager metric, compiled metric, its compiled update) of PQ and PartPQ."""
    setting, twins = CompiledSetting(), []
    for source, make in (
        ("panoptic", partial(ModifiedPanopticQuality, CATEGORIES)),
        ("parts", partial(PartPanopticQuality, setting.spec, capacity=setting.capacity)),
    ):
        eager, metric = (make().to(device) for _ in range(2))
        update = torch.compile(metric.update, backend=compiler, fullgraph=True)
        twins.append((source, eager, metric, update))
    return setting, twins


def check_compiled(seed: int, number: int, compiler: str, device: torch.device) -> None:
    """`torch.compile` of PQ and PartPQ, on two more scenes of one fixed setting."""
    setting, twins = _compiled(compiler, device)
    scenes = [Scene(seed, number + i, setting) for i in range(2)]
    images = [inputs(scene, device, setting.num_ids) for scene in scenes]
    for source, eager, metric, update in twins:
        batch = stacked([image[source] for image in images])
        eager.reset().update(*batch)
        metric.reset()
        update(*batch)
        is_same = torch.equal(state_of(eager), state_of(metric))
        expect_true(f"{type(eager).__name__} compiled counts otherwise", is_same)

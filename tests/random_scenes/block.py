"""Checks the scenes of one block: each by itself, then what may not change a bit of the result."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from tests.random_scenes import invariance
from tests.random_scenes.compare import Mismatch
from tests.random_scenes.merging_checks import check_boxes, check_merges
from tests.random_scenes.metric_checks import inputs, metric_checks
from tests.random_scenes.scenes import BLOCK, Scene, Setting

#: Every so many blocks: slow checks take their turn.
SHARDS, COMPILED, TWINS = 4, 20, 20

#: Scenes of a block that go through Triton's interpreter.
NUM_TWINS = 2


@dataclass
class BlockReport:
    """What became of a block.

    Attributes:
        block: its number.
        num_scenes: how many of its scenes were checked.
        mismatches: (number of the scene, what is wrong).
        counts: how often each kind of check was made.
        digest: of the metrics' states and the merged maps; the same on every device.
    """

    block: int
    num_scenes: int = 0
    mismatches: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    digest: bytes = b""


class BlockChecks:
    """The scenes of one block.

    Args:
        seed: of the run.
        block: number of the block.
        device: where the package runs; the slow rules run on the host.
        compiler: backend of `torch.compile`.
    """

    def __init__(self, seed: int, block: int, device: str, compiler: str) -> None:
        self.seed, self.compiler, self.device = seed, compiler, torch.device(device)
        self.setting = Setting(seed, block)
        self.checks = metric_checks(self.setting, block)
        self.report = BlockReport(block)
        self._hash = hashlib.sha256()

    def run(self, numbers: Iterable[int]) -> BlockReport:
        """Checks these scenes of the block."""
        report = self.report
        scenes = [Scene(self.seed, number, self.setting) for number in numbers]
        report.num_scenes = len(scenes)
        images = [inputs(scene, self.device) for scene in scenes]
        padded = [inputs(scene, self.device, self.setting.num_ids) for scene in scenes]
        for name, check in self.checks.items():
            metric = check.make().to(self.device)
            total = torch.zeros_like(invariance.state_of(metric))
            for scene, image in zip(scenes, images):
                metric.reset()
                self._try(scene, name, self._check_scene, check, metric, scene, image[check.source])
                total += invariance.state_of(metric)
            self._hash.update(total.numpy().tobytes())
            batch = [image[check.source] for image in padded]
            self._check_invariance(name, check, scenes[0], batch, total)
        self._check_merges(scenes)
        if report.block % COMPILED == 3:
            arguments = self.seed, scenes[0].number, self.compiler, self.device
            self._try(scenes[0], "compiled", invariance.check_compiled, *arguments)
        report.digest = self._hash.digest()
        return report

    @staticmethod
    def _check_scene(check, metric, scene: Scene, image) -> None:
        check.count(metric, *image)
        check.verify(metric.compute(), scene)

    def _check_invariance(self, name: str, check, first: Scene, batch: list, total) -> None:
        block = self.report.block
        self._try(first, f"{name} in batches", invariance.check_batch, check, batch, total)
        if block % SHARDS == 1:
            rng = np.random.default_rng([self.seed, 6, block])
            shards = invariance.check_shards
            self._try(first, f"{name} in shards", shards, check, batch, total, rng)
        if self._has_twins() and check.twins is not None:
            twins = invariance.check_twins
            self._try(first, f"{name} with Triton", twins, check, batch[:NUM_TWINS])

    def _check_merges(self, scenes: list[Scene]) -> None:
        singles = [self._try(scene, "merges", check_merges, scene, self.device) for scene in scenes]
        if all(singles):
            for panoptic, pps in singles:
                self._hash.update(panoptic.panoptic_seg.cpu().numpy().tobytes())
                self._hash.update(pps.cpu().numpy().tobytes())
            of_batch = invariance.check_merges_of_batch
            self._try(scenes[0], "merges of batches", of_batch, scenes, singles, self.device)
        for scene in scenes:
            if scene.number % 10 == 0:
                self._try(scene, "merges of boxes", check_boxes, scene, self.device)
        if self._has_twins():
            twins = invariance.check_merging_twins
            self._try(scenes[0], "merges with Triton", twins, scenes[0], self.device)

    def _has_twins(self) -> bool:
        return self.report.block % TWINS == 2 and invariance.has_twins()

    def _try(self, scene: Scene, what: str, check: Callable, *arguments):
        """Runs a check and counts it; what is wrong, an error too, goes into the report."""
        try:
            result = check(*arguments)
        except Mismatch as mismatch:
            self.report.mismatches.append((scene.number, f"{what}: {mismatch}"))
            return None
        except Exception as error:
            self.report.mismatches.append((scene.number, f"{what}: {error!r}"))
            return None
        self.report.counts[what] += result is not False
        return result


def check_block(seed: int, numbers: list[int], device: str, compiler: str) -> BlockReport:
    """Checks some scenes of one block."""
    torch.set_num_threads(1)
    return BlockChecks(seed, numbers[0] // BLOCK, device, compiler).run(numbers)

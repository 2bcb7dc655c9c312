"""What every metric class promises, checked with any metric and any images."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.processes import in_processes


def same_state(a: nn.Module, b: nn.Module) -> bool:
    """Bit by bit, and the same result (nan equals nan in its text)."""
    states = a.state_dict(), b.state_dict()
    equal = states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][name].cpu(), states[1][name].cpu()) for name in states[0]
    )
    return equal and results_of(a) == results_of(b)


def results_of(metric: nn.Module) -> str:
    return json.dumps(metric.compute().as_dict())


class ClassContract:
    """make() builds the metric, images are the arguments of each update."""

    def __init__(self, make: Callable[[], nn.Module], images: list[tuple]) -> None:
        self.make, self.images = make, images
        self.total = self.updated(images)

    def updated(self, images: list[tuple]) -> nn.Module:
        metric = self.make()
        for image in images:
            assert metric.update(*image) is metric, "update returns self"
        return metric

    def check(self) -> None:
        self.check_compute()
        self.check_lists()
        self.check_forward()
        self.check_reset()
        self.check_merge()
        self.check_copies()
        self.check_modes()

    def check_compute(self) -> None:
        first = results_of(self.total)
        assert results_of(self.total) == first, "compute changes nothing"
        twice = self.updated(self.images + self.images)
        for name, value in self.total.state_dict().items():
            assert torch.equal(twice.state_dict()[name], 2 * value), "updates accumulate"

    def check_lists(self) -> None:
        preds, targets = map(list, zip(*self.images))
        assert same_state(self.make().update(preds, targets), self.total)
        assert same_state(self.make().update([], []), self.make())
        assert self.make()(preds, targets) == self.total.compute()
        with pytest.raises(ValueError, match="^target: expected a list of 3, found one of 2$"):
            self.make().update(preds, targets[:2])
        with pytest.raises(TypeError, match="^target: expected a list as the other is, found "):
            self.make().update(preds, targets[0])

    def check_forward(self) -> None:
        metric = self.make()
        for image in self.images:
            assert metric(*image) == self.updated([image]).compute(), "the result of the batch"
        assert same_state(metric, self.total), "a call counts as an update does"

    def check_reset(self) -> None:
        metric = self.updated(self.images)
        metric.reset()
        assert same_state(metric, self.make())
        for image in self.images:
            metric.update(*image)
        assert same_state(metric, self.total)

    def check_merge(self) -> None:
        for cut in range(len(self.images) + 1):
            left, right = self.updated(self.images[:cut]), self.updated(self.images[cut:])
            before = copy.deepcopy(right)
            assert left.merge_state(right) is left
            assert same_state(left, self.total) and same_state(right, before)

    def check_copies(self) -> None:
        file = io.BytesIO()
        torch.save(self.total.state_dict(), file)
        file.seek(0)
        loaded = self.make()
        loaded.load_state_dict(torch.load(file))
        for twin in (loaded, copy.deepcopy(self.total), pickle.loads(pickle.dumps(self.total))):
            assert same_state(twin, self.total)
            for image in self.images:
                twin.update(*image)
            assert not same_state(twin, self.total), "a copy shares nothing with the original"
        assert same_state(self.total, self.updated(self.images))

    def check_modes(self) -> None:
        half = self.make().half().double().eval()
        for image in self.images:
            half.update(*image)
        assert same_state(half, self.total), "no floating dtype reaches the state"
        mixed = self.make()
        with torch.inference_mode():
            assert same_state(self.updated(self.images), self.total)
            for image in self.images[:2]:
                mixed.update(*image)
        for image in self.images[2:]:
            mixed.update(*image)
        assert same_state(mixed, self.total)

    def check_device(self, device: torch.device) -> None:
        metric = self.updated(self.images[:1]).to(device)
        for image in self.images[1:]:
            metric.update(*(_to(value, device) for value in image))
        assert same_state(metric, self.total)
        assert same_state(metric.to("cpu"), self.total)

    def check_sync(self, world_size: int = 2) -> None:
        """Process 0 sees all images, the others none; then image i goes to process i % n."""
        total = results_of(self.total)
        for found in in_processes(world_size, _synced, world_size, self.make, self.images):
            assert found == [total, total]


def _to(value, device):
    if isinstance(value, tuple):
        return type(value)(*(_to(v, device) for v in value))
    return value.to(device)


def _synced(rank: int, world_size: int, make, images: list[tuple]) -> list[str]:
    """What a process knows after it has seen its share of the images: an uneven, an even one."""
    found = []
    for share in (images if rank == 0 else [], images[rank::world_size]):
        metric = make()
        for image in share:
            metric.update(*image)
        before = copy.deepcopy(metric)
        total = metric.synced()
        assert same_state(metric, before), "synced leaves this metric as it was"
        assert metric.sync() is metric
        assert same_state(metric, total), "synced gives what sync gives"
        found.append(results_of(metric))
    return found

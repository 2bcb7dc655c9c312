"""A metric that is a part of a model counts right in several processes."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pps_torch import MeanIoU, PanopticQuality
from tests.golden.state_dicts.record import CATEGORIES, update
from tests.processes import in_processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed"),
]


class Model(nn.Module):
    """A network whose forward is called between the updates of the metric that it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.metric = PanopticQuality(CATEGORIES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def matches(metric: PanopticQuality) -> int:
    return sum(counts.tp for counts in metric.class_counts())


def count_in_a_model(rank: int, way: str, training: bool) -> tuple[int, int]:
    """Process r counts r + 1 times; the forward of the model comes before each."""
    model = Model()
    if way == "DDP":
        wrapped = DistributedDataParallel(model)
    elif way == "fully_shard":
        from torch.distributed.fsdp import fully_shard

        wrapped = fully_shard(model)
    wrapped.train(training)
    for _ in range(3):
        wrapped(torch.randn(4, 2))
        if rank >= 2 - _:
            update(model.metric)
    wrapped(torch.randn(4, 2))
    own = matches(model.metric)
    return own, matches(model.metric.synced())


@pytest.mark.parametrize(
    "way, world_size, training",
    [*itertools.product(["DDP", "fully_shard"], [2, 3], [True, False])],
)
def test_counts_are_the_processes_own_and_add_up(way, world_size, training):
    if way == "fully_shard" and torch.__version__ < "2.7":
        pytest.skip("fully_shard of torch 2.6 needs a GPU")
    metric = PanopticQuality(CATEGORIES)
    update(metric)
    one = matches(metric)
    found = in_processes(world_size, count_in_a_model, way, training)
    own = [(rank + 1) * one for rank in range(world_size)]
    assert found == [(number, sum(own)) for number in own]


def message_of(rank: int, kinds: tuple[str, ...]) -> str:
    """What sync says where process r has a metric of the r-th kind; its counts must stay."""
    others = [*CATEGORIES[:2], {"id": 9, "name": "sky", "isthing": 0}]
    metric = {
        "plain": lambda: PanopticQuality(CATEGORIES),
        "swapped": lambda: PanopticQuality(CATEGORIES[::-1]),
        "others": lambda: PanopticQuality(others),
        "fewer": lambda: PanopticQuality(CATEGORIES[:2]),
        "rules": lambda: PanopticQuality(CATEGORIES, rules="deeplab2"),
        "mean_iou": lambda: MeanIoU(CATEGORIES),
        "large": lambda: MeanIoU([{**CATEGORIES[0], "id": k} for k in range(150)]),
    }[kinds[rank]]()
    metric.faults += rank
    before = [state.clone() for state in metric._states()]
    try:
        metric.sync()
    except ValueError as error:
        assert all(map(torch.equal, before, metric._states())), "a refused sync changes nothing"
        return str(error)
    return ""


@pytest.mark.parametrize("other", "swapped others fewer rules mean_iou large".split())
def test_metrics_of_different_kinds_are_not_added_up(other):
    for message in in_processes(2, message_of, ("plain", other)):
        assert message.startswith("sync: expected metrics of one kind in all processes")


def sync_a_large_state(rank: int) -> list[int]:
    metric = MeanIoU([{**CATEGORIES[0], "id": k} for k in range(150)])
    metric.confusion += torch.arange(150 * 151).view(150, 151) * (rank + 1)
    return metric.sync().confusion.flatten().tolist()


def test_states_of_more_than_one_message():
    expected = [3 * k for k in range(150 * 151)]
    assert in_processes(2, sync_a_large_state) == [expected, expected]


def sync_in_groups(rank: int) -> tuple[int, int, str]:
    """Two pairs of processes, then one process of each pair; then all again."""
    groups = [torch.distributed.new_group(ranks) for ranks in ((0, 1), (2, 3), (0, 2), (1, 3))]
    metric = PanopticQuality(CATEGORIES)
    metric.faults[0] = 10**rank
    outside = PanopticQuality(CATEGORIES)
    with pytest.raises(ValueError, match="group: expected one that this process is in"):
        outside.sync(groups[1 - rank // 2])
    outside.faults += 1  # it may count on
    in_pair = int(metric.sync(groups[rank // 2]).faults[0])
    in_all = int(metric.sync(groups[2 + rank % 2]).faults[0])
    with pytest.raises(RuntimeError, match="already holds all processes") as raised:
        metric.sync()
    return in_pair, in_all, str(raised.value)


def test_groups_of_processes():
    found = in_processes(4, sync_in_groups)
    assert [pair for pair, *_ in found] == [11, 11, 1100, 1100]
    assert [total for _, total, _ in found] == [1111] * 4


def sync_twice_over(rank: int) -> str:
    """Processes 0 and 1 add up, then all three, who would count them twice."""
    group = torch.distributed.new_group([0, 1])
    metric = PanopticQuality(CATEGORIES)
    metric.faults += 1
    if rank < 2:
        metric.sync(group)
    with pytest.raises(RuntimeError) as raised:
        metric.sync()
    return str(raised.value)


def test_counts_that_would_come_twice_are_refused():
    expected = "sync: the counts of the processes [0, 1] would be added twice"
    assert in_processes(3, sync_twice_over) == [expected] * 3

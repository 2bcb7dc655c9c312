"""Tables and counts of a module are where the module is, with the values that they had."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pps_torch.held_tensors import TensorHolder

IDS = [7, 300, 70_000]


class Holder(TensorHolder):
    def __init__(self):
        super().__init__()
        ids = torch.tensor(IDS, device="cpu")
        self._hold_tables(ids=ids, is_thing=ids > 7)
        self._hold_counts("counts", 3)
        self.scale = torch.nn.Parameter(torch.ones(2))


def counted():
    holder = Holder()
    holder.counts += torch.tensor(IDS)
    return holder


def expect_intact(holder, counts):
    assert holder.ids.dtype == torch.int64 and holder.ids.tolist() == IDS
    assert holder.is_thing.tolist() == [False, True, True]
    assert holder.counts.dtype == torch.int64 and holder.counts.tolist() == counts


WAYS = {
    "half": lambda holder: holder.half(),
    "type": lambda holder: holder.type(torch.half),
    "double": lambda holder: holder.to(torch.float64),
    "to": lambda holder: holder.to("cpu", torch.bfloat16),
    "to_empty": lambda holder: holder.to_empty(device="cpu"),
    "deepcopy": copy.deepcopy,
    "pickle": lambda holder: pickle.loads(pickle.dumps(holder)),
    "replica": lambda holder: holder._replicate_for_data_parallel(),
    "inside": lambda holder: torch.nn.Sequential(holder).half()[0],
}


@pytest.mark.parametrize("way", WAYS)
def test_values_are_what_they_were(way):
    expect_intact(WAYS[way](counted()), IDS)


def test_a_cast_still_casts_the_parameters():
    assert counted().half().scale.dtype == torch.float16


@pytest.mark.parametrize("decay", [0.5, 0.9999])
def test_a_moving_average_keeps_tables_and_counts(decay):
    average = AveragedModel(counted(), multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    for _ in range(3):
        average.update_parameters(counted())
    expect_intact(average.module, IDS)


def test_from_meta_to_a_device_tables_are_there_and_counts_start_at_zero():
    with torch.device("meta"):
        holder = Holder()
    assert holder.ids.is_meta and holder.counts.is_meta and holder.device.type == "meta"
    expect_intact(holder.to_empty(device="cpu"), [0, 0, 0])


def test_everything_is_where_the_parameters_are(device):
    with torch.device(device):
        holder = Holder()
    tensors = [holder.ids, holder.is_thing, holder.counts, holder.scale]
    assert {tensor.device.type for tensor in tensors} == {device.type}


def test_nothing_is_a_buffer_or_in_a_checkpoint():
    holder = counted()
    assert not list(holder.buffers()) and set(holder.state_dict()) == {"scale"}


def test_copies_made_in_inference_mode_count_on():
    with torch.inference_mode():
        copied, made = copy.deepcopy(counted()), Holder()
        moved = counted().to("cpu")
    for holder in (copied, made, moved):
        holder.counts += 1
    assert copied.counts.tolist() == [number + 1 for number in IDS]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_torch_compile_takes_them_as_buffers(way):
    """Of fixed sizes and at a fixed address, as the functions of `torch._dynamo` say it."""
    from torch import _dynamo as dynamo

    marked = torch.zeros(3)
    dynamo.mark_static(marked)
    dynamo.mark_static_address(marked, guard=False)
    holder = WAYS[way](counted())
    for tensor in (holder.ids, holder.is_thing, holder.counts):
        assert vars(marked).items() <= vars(tensor).items()

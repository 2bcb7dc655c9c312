"""However code holds a module, it gives the bits that it gives by itself."""

from __future__ import annotations

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.holding.subjects import SUBJECTS, expect_same, is_metric, public_modules

METRICS = [name for name in SUBJECTS if is_metric(name)]
MERGERS = [name for name in SUBJECTS if not is_metric(name)]


class Model(nn.Module):
    """A network that holds a module beside weights and buffers of its own."""

    def __init__(self, held: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self.held = held

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@contextmanager
def default_dtype(dtype: torch.dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)


def averaged(model: Model, decay: float) -> Model:
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    for _ in range(3):
        average.update_parameters(model)
    return average.module


def saved(model: Model) -> Model:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def copied_in_inference_mode(model: Model) -> Model:
    with torch.inference_mode():
        return copy.deepcopy(model)


WAYS = {
    "alone": lambda model: model,
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.to(torch.bfloat16),
    "double": lambda model: model.double(),
    "type": lambda model: model.type(torch.half),
    "deepcopy": copy.deepcopy,
    "deepcopy in inference mode": copied_in_inference_mode,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": saved,
    "EMA 0.9": lambda model: averaged(model, 0.9),
    "EMA 0.9999": lambda model: averaged(model, 0.9999),
    "SyncBatchNorm": nn.SyncBatchNorm.convert_sync_batchnorm,
    "eval and train": lambda model: model.eval().train(),
    "no gradient": lambda model: model.requires_grad_(False),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_bits_are_those_of_the_module_alone(name):
    subject = SUBJECTS[name]
    expected = subject.run(subject.make())
    for way, hold in WAYS.items():
        expect_same(subject.run(hold(Model(subject.make())).held), expected, way)


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_compiled_within_its_model(name):
    """What runs the module is compiled, as a training step is; twice, so that counts add up."""
    subject = SUBJECTS[name]
    alone, model = subject.make(), Model(subject.make())
    torch.compiler.reset()
    call = "update" if name in METRICS else "forward"
    compiled = torch.compile(getattr(model.held, call), backend="eager", fullgraph=True)
    setattr(model.held, call, compiled)
    for _ in range(2):
        expect_same(subject.run(model.held), subject.run(alone))


@pytest.mark.parametrize("name", MERGERS)
def test_threads_may_share_a_merger(name):
    subject = SUBJECTS[name]
    module = subject.make()
    expected = subject.run(module)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: subject.run(module), range(8)):
            expect_same(found, expected)


@pytest.mark.parametrize("name", METRICS)
def test_threads_have_a_metric_each(name):
    subject = SUBJECTS[name]
    alone, metrics = subject.make(), [subject.make() for _ in range(3)]
    for _ in metrics:
        expected = subject.run(alone)
    with ThreadPoolExecutor(len(metrics)) as pool:
        list(pool.map(subject.run, metrics))
    first, *others = metrics
    for other in others:
        first.merge_state(other)
    expect_same(first.compute().as_dict(), expected)


@pytest.mark.parametrize("name", METRICS)
def test_counts_stay_what_they_were(name):
    subject = SUBJECTS[name]
    alone = subject.make()
    subject.run(alone)
    expected = subject.run(alone)
    for way, hold in WAYS.items():
        model = Model(subject.make())
        subject.run(model.held)
        expect_same(subject.run(hold(model).held), expected, way)


@pytest.mark.parametrize("name", SUBJECTS)
def test_made_on_meta(name):
    subject = SUBJECTS[name]
    expected = subject.run(subject.make())
    weights = Model(nn.Identity()).state_dict()
    for assign in (False, True):
        with torch.device("meta"):
            model = Model(subject.make())
        if not assign:
            model = model.to_empty(device="cpu")
        model.load_state_dict(weights, assign=assign)
        expect_same(subject.run(model.held), expected)


@pytest.mark.parametrize("name", SUBJECTS)
def test_made_under_other_defaults(name):
    subject = SUBJECTS[name]
    expected = subject.run(subject.make())
    with default_dtype(torch.float64), torch.device("cpu"):
        module = subject.make()
    expect_same(subject.run(module), expected)
    with torch.inference_mode():
        module = subject.make()
        subject.run(module)
    if name in MERGERS:
        expect_same(subject.run(module), expected)


@pytest.mark.parametrize("name", METRICS)
def test_counted_in_inference_mode_and_outside(name):
    subject = SUBJECTS[name]
    expected, metric = subject.make(), subject.make()
    subject.run(expected)
    with torch.inference_mode():
        subject.run(metric)
    expect_same(subject.run(metric), subject.run(expected))


@pytest.mark.parametrize("name", METRICS)
def test_checkpoints_of_models_from_before_and_after_the_metric(name):
    subject = SUBJECTS[name]
    model = Model(subject.make())
    subject.run(model.held)
    assert model.state_dict().keys() == Model(nn.Identity()).state_dict().keys()
    model.load_state_dict(Model(nn.Identity()).state_dict())
    once = subject.run(subject.make())
    expect_same(model.held.compute().as_dict(), once)

    other = Model(subject.make())
    other.held.persistent()
    model.held.persistent()
    other.load_state_dict(model.state_dict())
    expect_same(other.held.compute().as_dict(), once)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(Model(nn.Identity()).state_dict())


@pytest.mark.parametrize("name", MERGERS)
def test_a_replica_of_data_parallel_merges(name):
    subject = SUBJECTS[name]
    module = subject.make()
    expect_same(subject.run(module._replicate_for_data_parallel()), subject.run(module))


@pytest.mark.parametrize("name", METRICS)
def test_a_replica_of_data_parallel_says_that_its_counts_are_lost(name):
    replica = SUBJECTS[name].make()._replicate_for_data_parallel()
    with pytest.raises(RuntimeError, match="DataParallel makes is gone after the forward"):
        SUBJECTS[name].run(replica)


def test_every_public_module_is_held():
    assert {type(subject.make()).__name__ for subject in SUBJECTS.values()} == public_modules()

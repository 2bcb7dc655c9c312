"""State dicts of older versions load; those of other metrics, newer ones and synced ones do not."""

from __future__ import annotations

import io
import os
import sys
from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from pps_torch import (
    EvalSpec,
    MeanIoU,
    ModifiedPanopticQuality,
    PanopticQuality,
    PartPanopticQuality,
)
from pps_torch.pipelines.running.processes import leave_group
from tests.golden.cases import ROOT, read_json
from tests.golden.state_dicts.record import CATEGORIES, metrics, update

FOLDER = ROOT / "state_dicts"
VERSIONS = [path.name for path in FOLDER.iterdir() if any(path.glob("*.pt"))]


def contains(found, expected) -> bool:
    """Whether all expected keys are there, with equal values."""
    if isinstance(expected, dict):
        return all(key in found and contains(found[key], expected[key]) for key in expected)
    return found == expected


@pytest.mark.parametrize("name", metrics())
@pytest.mark.parametrize("version", VERSIONS)
def test_older_states_load_count_on_and_give_the_recorded_numbers(version, name):
    state = torch.load(FOLDER / version / f"{name}.pt", weights_only=True)
    metric = metrics()[name]
    metric.load_state_dict(state)
    assert contains(metric.compute().as_dict(), read_json(FOLDER / "expected.json")[name])
    update(metric)
    assert all(torch.equal(metric.state_dict()[key], 2 * state[key]) for key in state)


def test_every_metric_of_this_version_is_recorded():
    assert {path.stem for path in (FOLDER / "0.1.0").glob("*.pt")} == set(metrics())
    for name, metric in metrics().items():
        update(metric)
        recorded = torch.load(FOLDER / "0.1.0" / f"{name}.pt", weights_only=True)
        assert all(torch.equal(recorded[key], own) for key, own in metric.state_dict().items())
        assert recorded._metadata == metric.state_dict()._metadata, "the layout has changed"


def counted(metric):
    update(metric)
    return metric


STUFF = [{**category, "isthing": 0} for category in CATEGORIES]
FEWER, OTHERS = CATEGORIES[:2], [*CATEGORIES[:2], {**CATEGORIES[2], "id": 4}]


@pytest.mark.parametrize(
    "other, message",
    [
        (lambda: PanopticQuality(FEWER), r"class_ids: expected \(3, 7\), found \(3, 7, 200\)"),
        (lambda: PanopticQuality(OTHERS), r"class_ids: expected \(3, 7, 4\), found \(3, 7, 200\)"),
        (lambda: PanopticQuality(STUFF), r"rules: expected .*False.*, found .*True"),
        (lambda: PanopticQuality(CATEGORIES, rules="deeplab2"), r"rules: .*crowds='void'"),
        (lambda: MeanIoU(CATEGORIES), r"rules: expected \(255,\), found "),
    ],
)
def test_a_state_of_other_classes_or_rules_is_refused_and_changes_nothing(other, message):
    state, metric = counted(PanopticQuality(CATEGORIES)).state_dict(), other()
    with pytest.raises(RuntimeError, match=message):
        metric.load_state_dict(state)
    assert not any(value.any() for value in metric.state_dict().values())


def test_a_state_of_another_spec_names_the_place_and_not_all_of_it():
    part_pq = PartPanopticQuality(EvalSpec.load("cpp_default"))
    with pytest.raises(RuntimeError, match=r"class_ids: expected .*7, 8.*, found .*1, 2") as raised:
        part_pq.load_state_dict(PartPanopticQuality(EvalSpec.load("ppp_default")).state_dict())
    assert len(str(raised.value)) < 400


def test_without_metadata_shapes_and_dtypes_tell():
    metric = counted(PanopticQuality(CATEGORIES))
    plain = dict(metric.state_dict())
    PanopticQuality(CATEGORIES).load_state_dict(plain)
    fewer = PanopticQuality(FEWER)
    expected = r"class_sums: expected torch.int64 \(2, 5\), found torch.int64 \(3, 5\)"
    with pytest.raises(RuntimeError, match=expected):
        fewer.load_state_dict(plain)
    assert not fewer.faults.any()
    rounded = {name: value.float() for name, value in plain.items()}
    with pytest.raises(RuntimeError, match="expected torch.int64 .* found torch.float32"):
        PanopticQuality(CATEGORIES).load_state_dict(rounded)


@pytest.mark.parametrize("name", metrics())
def test_a_plain_copy_of_the_dict_loses_no_count(name):
    state = counted(metrics()[name]).state_dict()
    ones = {key: torch.ones_like(value) for key, value in state.items()}
    metric = metrics()[name]
    metric.load_state_dict(ones)
    assert all(torch.equal(metric.state_dict()[key], value) for key, value in ones.items())


def test_a_state_of_a_newer_layout_is_refused():
    state = counted(PanopticQuality(CATEGORIES)).state_dict()
    state._metadata[""]["version"] = 3
    with pytest.raises(RuntimeError, match="expected layout 2 or older, found 3"):
        PanopticQuality(CATEGORIES).load_state_dict(state)


def test_what_is_missing_or_not_expected_is_named():
    state = counted(PanopticQuality(CATEGORIES)).state_dict()
    with pytest.raises(RuntimeError, match='Missing key.*"overlap_sums"'):
        ModifiedPanopticQuality(CATEGORIES).load_state_dict(state)
    state = counted(ModifiedPanopticQuality(CATEGORIES)).state_dict()
    with pytest.raises(RuntimeError, match='Unexpected key.*"overlap_sums"'):
        PanopticQuality(CATEGORIES).load_state_dict(state)


def test_in_a_module_the_error_says_which_metric():
    def model(categories):
        return torch.nn.ModuleDict({"score": PanopticQuality(categories).persistent()})

    with pytest.raises(
        RuntimeError, match=r"score.class_ids: expected \(3, 7\), found \(3, 7, 200"
    ):
        model(FEWER).load_state_dict(model(CATEGORIES).state_dict())
    model(CATEGORIES).load_state_dict(model(CATEGORIES).state_dict())


# After sync


@pytest.fixture
def process_group(tmp_path: Path, monkeypatch):
    """This process as the only one of its group."""
    if sys.platform == "linux":
        monkeypatch.setitem(os.environ, "GLOO_SOCKET_IFNAME", "lo")
    init_method = f"file://{tmp_path}/store"
    dist.init_process_group("gloo", init_method=init_method, rank=0, world_size=1)
    yield
    leave_group()


def saved_and_loaded(state: OrderedDict) -> OrderedDict:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("name", metrics())
def test_a_synced_state_stays_synced_where_it_is_loaded(name, process_group):
    synced = counted(metrics()[name]).sync()
    keys = list(metrics()[name].state_dict())
    assert list(synced.state_dict()) == [*keys, "is_synced"]
    for state in (saved_and_loaded(synced.state_dict()), dict(synced.state_dict())):
        resumed = metrics()[name]
        resumed.load_state_dict(state)
        assert resumed.compute().as_dict() == synced.compute().as_dict()
        for refused in (partial(update, resumed), resumed.sync, partial(merged, name, resumed)):
            with pytest.raises(RuntimeError, match="already holds all processes"):
                refused()
        update(resumed.reset())
        assert "is_synced" not in resumed.state_dict()


def merged(name: str, other):
    return metrics()[name].merge_state(other)


def test_an_own_state_loads_into_a_synced_metric_and_counts_on(process_group):
    own = counted(PanopticQuality(CATEGORIES)).state_dict()
    metric = counted(PanopticQuality(CATEGORIES)).sync()
    metric.load_state_dict(own)
    update(metric)
    assert torch.equal(metric.class_sums, 2 * own["class_sums"])


def test_a_synced_metric_within_a_module(process_group):
    model, resumed = (
        torch.nn.ModuleDict({"score": PanopticQuality(CATEGORIES).persistent()}) for _ in "ab"
    )
    counted(model["score"]).sync()
    resumed.load_state_dict(saved_and_loaded(model.state_dict()))
    with pytest.raises(RuntimeError, match="already holds all processes"):
        update(resumed["score"])

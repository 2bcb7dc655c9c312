"""The choice between torch and Triton."""

import importlib.util
import re
from types import ModuleType

import pytest
import torch

from pps_torch import MeanIoU, PanopticQuality, merge_panoptic
from pps_torch.ops import backend as backends
from pps_torch.ops.backend import check_backend, uses_triton

ON_CPU = torch.zeros(1)


def test_auto_is_torch_on_the_cpu():
    assert not uses_triton("auto", ON_CPU)
    assert not uses_triton("torch", ON_CPU)


@pytest.mark.parametrize("backend", ["Triton", "cuda", ""])
def test_another_name_is_refused(backend):
    for refuse in (lambda: uses_triton(backend, ON_CPU), lambda: check_backend(backend)):
        with pytest.raises(ValueError, match=r"backend: expected one of .* got"):
            refuse()
    with pytest.raises(ValueError, match="backend"):
        PanopticQuality([{"id": 1, "name": "car", "isthing": 1}], backend=backend)


def test_triton_that_cannot_run_raises(monkeypatch):
    monkeypatch.setattr(backends, "_HAS_TRITON", True)
    monkeypatch.setattr(backends, "_IS_INTERPRETED", False)
    with pytest.raises(RuntimeError, match='"triton" cannot run: the tensors are on cpu'):
        uses_triton("triton", ON_CPU)
    monkeypatch.setattr(backends, "_HAS_TRITON", False)
    with pytest.raises(RuntimeError, match="triton is not installed, or torch is older than 2.11"):
        uses_triton("triton", ON_CPU)


def test_a_merge_passes_the_refusal_on(monkeypatch):
    monkeypatch.setattr(backends, "_IS_INTERPRETED", False)
    inputs = (torch.zeros(2, 2).long(), torch.zeros(1, 2, 2).bool(), ON_CPU, ON_CPU.long())
    assert merge_panoptic(*inputs, stuff_ids=[]).num_segments == 0
    with pytest.raises(RuntimeError, match="cannot run"):
        merge_panoptic(*inputs, stuff_ids=[], backend="triton")


def where_the_variable_is(value: str, monkeypatch) -> ModuleType:
    """The module as it is in a process in which the environment variable is set."""
    monkeypatch.setenv("PPS_TORCH_BACKEND", value)
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    spec = importlib.util.find_spec(backends.__name__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_environment_variable_stands_for_auto(monkeypatch):
    assert not where_the_variable_is("torch", monkeypatch).uses_triton("auto", ON_CPU)
    module = where_the_variable_is("triton", monkeypatch)
    with pytest.raises(RuntimeError, match="^PPS_TORCH_BACKEND=triton cannot run"):
        module.uses_triton("auto", ON_CPU)


def test_another_name_in_the_environment_is_refused_where_the_backend_is_chosen(monkeypatch):
    module = where_the_variable_is("both", monkeypatch)
    expected = re.escape(
        "environment variable PPS_TORCH_BACKEND: expected one of "
        "('auto', 'torch', 'triton'), got 'both'"
    )
    with pytest.raises(ValueError, match=expected):
        module.check_backend("auto")
    monkeypatch.setattr(backends, "_DEFAULT", module._DEFAULT)
    assert MeanIoU([], backend="torch")
    with pytest.raises(ValueError, match=expected):
        MeanIoU([])

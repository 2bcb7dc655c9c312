"""The choice between torch and Triton."""

import os
import subprocess
import sys

import pytest
import torch

from pps_torch import PanopticQuality, merge_panoptic
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


@pytest.mark.parametrize(
    ("variable", "outcome"),
    [("torch", "False"), ("triton", "RuntimeError: PPS_TORCH_BACKEND=triton cannot run")],
)
def test_the_environment_variable_stands_for_auto(variable, outcome):
    code = "import torch; print(backends.uses_triton('auto', torch.zeros(1)))"
    assert said_with_variable(variable, code).startswith(outcome)


def test_another_name_in_the_environment_is_refused_where_the_backend_is_chosen():
    expected = (
        "ValueError: environment variable PPS_TORCH_BACKEND: expected one of "
        "('auto', 'torch', 'triton'), got 'both'"
    )
    code = "pps_torch.MeanIoU([], backend='torch'); print('torch'); pps_torch.MeanIoU([])"
    assert said_with_variable("both", code).splitlines() == ["torch", expected]


def said_with_variable(value: str, code: str) -> str:
    """What a process says in which the variable is set: its output, or its error."""
    code = (
        "import pps_torch\nfrom pps_torch.ops import backend as backends\n"
        f"try:\n    {code}\n"
        "except Exception as error:\n    print(f'{type(error).__name__}: {error}')"
    )
    environment = {**os.environ, "PPS_TORCH_BACKEND": value, "TRITON_INTERPRET": "0"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()

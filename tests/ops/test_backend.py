"""The choice between torch and Triton."""

import importlib.util
import re
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch

from pps_torch import MeanIoU, PanopticQuality, merge_panoptic
from pps_torch.graph_capture import is_exporting
from pps_torch.ops import backend as backends
from pps_torch.ops.backend import check_backend, uses_triton

CATEGORIES = [{"id": 1, "name": "car", "isthing": 1}]
ON_CPU = torch.zeros(1)


def test_auto_is_torch_on_the_cpu():
    assert not uses_triton("auto", ON_CPU)
    assert not uses_triton("torch", ON_CPU)


@pytest.mark.parametrize("backend", ["Triton", "cuda", ""])
def test_another_name_is_refused(backend):
    for refuse in (lambda: uses_triton(backend, ON_CPU), lambda: check_backend(backend)):
        with pytest.raises(ValueError, match=r"backend: expected one of .* found"):
            refuse()
    with pytest.raises(ValueError, match="backend"):
        PanopticQuality(CATEGORIES, backend=backend)


def test_triton_that_cannot_run_raises(monkeypatch):
    monkeypatch.setattr(backends, "_HAS_TRITON", True)
    monkeypatch.setattr(backends, "_IS_INTERPRETED", False)
    with pytest.raises(RuntimeError, match='"triton" cannot run: the tensors are on cpu'):
        uses_triton("triton", ON_CPU)
    monkeypatch.setattr(backends, "_HAS_TRITON", False)
    with pytest.raises(RuntimeError, match="triton is not installed, or torch is older than 2.8"):
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
    return imported_anew()


def imported_anew() -> ModuleType:
    """The module as it is in a new process of this environment."""
    spec = importlib.util.find_spec(backends.__name__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def slim_image(monkeypatch, tmp_path) -> Path:
    """An environment without a C compiler; the folder is its whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path


class OnCuda:
    """Stands for a tensor on CUDA."""

    is_cuda, device = True, torch.device("cuda")


def make_program(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


NO_COMPILER = "finds neither gcc nor clang in PATH; install one of them .*apt-get install gcc"


def test_without_a_compiler_auto_warns_once_and_triton_raises(slim_image, monkeypatch):
    module = imported_anew()
    monkeypatch.setattr(module, "_HAS_TRITON", True)
    with pytest.warns(UserWarning, match=f"plain torch on CUDA.*{NO_COMPILER}") as warned:
        assert not module.uses_triton("auto", OnCuda)
        assert not module.uses_triton("auto", OnCuda)
    assert len(warned) == 1 and "PPS_TORCH_BACKEND=torch" in str(warned[0].message)
    with pytest.raises(RuntimeError, match=f'"triton" cannot run: .*{NO_COMPILER}'):
        module.uses_triton("triton", OnCuda)
    assert not module.uses_triton("torch", OnCuda) and not module.uses_triton("auto", ON_CPU)


def test_the_interpreter_needs_no_compiler(slim_image, monkeypatch):
    module = imported_anew()
    monkeypatch.setattr(module, "_HAS_TRITON", True)
    monkeypatch.setattr(module, "_IS_INTERPRETED", True)
    assert module.uses_triton("triton", ON_CPU)


@pytest.mark.slow
def test_a_captured_graph_falls_back_without_a_break(slim_image, monkeypatch):
    module = imported_anew()
    monkeypatch.setattr(backends, "_NOT_COMPILED", module._NOT_COMPILED)
    captured = torch.compile(lambda x: x + backends._can_compile(), fullgraph=True, backend="eager")
    assert captured(ON_CPU) == 0


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_a_compiler_in_the_path_is_found(slim_image, name):
    make_program(slim_image / name)
    assert imported_anew()._NOT_COMPILED is None


def test_a_compiler_that_cc_names_must_be_there(slim_image, monkeypatch):
    make_program(slim_image / "gcc")
    monkeypatch.setenv("CC", str(slim_image / "cc"))
    assert "no program CC=" in imported_anew()._NOT_COMPILED
    make_program(slim_image / "cc")
    assert imported_anew()._NOT_COMPILED is None


def test_a_compiler_of_the_users_own_is_enough(slim_image, monkeypatch):
    own = SimpleNamespace(build=SimpleNamespace(impl=print))
    monkeypatch.setitem(sys.modules, "triton.knobs", own)
    assert imported_anew()._NOT_COMPILED is None


def test_the_header_of_python_must_be_there(slim_image, monkeypatch):
    make_program(slim_image / "gcc")
    monkeypatch.setattr(sysconfig, "get_paths", lambda scheme: {"include": str(slim_image / "x")})
    assert "no Python.h in" in imported_anew()._NOT_COMPILED
    (slim_image / "Python.h").touch()
    monkeypatch.setenv("CPATH", str(slim_image))
    assert imported_anew()._NOT_COMPILED is None


def test_the_environment_variable_stands_for_auto(monkeypatch):
    assert not where_the_variable_is("torch", monkeypatch).uses_triton("auto", ON_CPU)
    module = where_the_variable_is("triton", monkeypatch)
    with pytest.raises(RuntimeError, match="^PPS_TORCH_BACKEND=triton cannot run"):
        module.uses_triton("auto", ON_CPU)


def test_another_name_in_the_environment_is_refused_where_the_backend_is_chosen(monkeypatch):
    module = where_the_variable_is("both", monkeypatch)
    expected = re.escape(
        "environment variable PPS_TORCH_BACKEND: expected one of "
        "('auto', 'torch', 'triton'), found 'both'"
    )
    with pytest.raises(ValueError, match=expected):
        module.check_backend("auto")
    monkeypatch.setattr(backends, "_DEFAULT", module._DEFAULT)
    assert MeanIoU(CATEGORIES, backend="torch")
    with pytest.raises(ValueError, match=expected):
        MeanIoU(CATEGORIES)


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__ < "2.7", reason="torch does not tell before 2.7")
def test_torch_compile_is_no_export():
    """Dynamo says of both that they export; only an exported program has to do without kernels."""

    def plus(values):
        return values + (1 if is_exporting() else 2)

    class Plus(torch.nn.Module):
        def forward(self, values):
            return plus(values)

    zeros = torch.zeros(2)
    assert torch.compile(plus, backend="eager", fullgraph=True)(zeros).tolist() == [2, 2]
    for strict in (False, True):
        program = torch.export.export(Plus(), (zeros,), strict=strict)
        assert program.module()(zeros).tolist() == [1, 1]
    assert plus(zeros).tolist() == [2, 2]

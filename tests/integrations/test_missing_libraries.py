"""An integration without its library says at the import which one it needs."""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest

import pps_torch
from pps_torch.integrations.libraries import importing

FOLDER = Path(pps_torch.__file__).parent / "integrations"


@pytest.mark.parametrize(
    "name, library",
    [
        ("huggingface", "transformers"),
        ("torchvision", "torchvision"),
        ("mmdetection", "mmdet"),
        ("mmdetection_metric", "mmdet"),
        ("torchmetrics", "torchmetrics"),
    ],
)
def test_the_import_names_the_missing_library(name, library, monkeypatch):
    find_spec = importlib.util.find_spec

    def find_all_but_it(module, package=None):
        return None if module == library else find_spec(module, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_all_but_it)
    with pytest.raises(ImportError, match=f"^pps_torch.integrations.{name} needs .* {library}$"):
        runpy.run_path(str(FOLDER / f"{name}.py"))


def test_a_library_that_does_not_fit_is_named_with_its_version(monkeypatch):
    with pytest.raises(
        ImportError, match=r"^example cannot use torch 2\..* \(compared with none\): ca"
    ):
        with importing("torch", "example"):
            from torch import nothing_of_the_kind  # noqa: F401
    with pytest.raises(ImportError, match="^example cannot use ast of unknown version .*: too old"):
        with importing("ast", "example"):
            raise AssertionError("too old")


@pytest.mark.parametrize(
    "name, library",
    [
        ("detectron2", "detectron2"),
        ("mmdetection_metric", "mmdet"),
        ("torchmetrics", "torchmetrics"),
    ],
)
def test_an_integration_that_imports_from_a_library_that_changed_says_so(name, library):
    """The others import nothing: they read the outputs of models."""
    changed, module = ModuleType(library), f"pps_torch.integrations.{name}"
    changed.__spec__, changed.__version__ = ModuleSpec(library, None), "99.0"
    with mock.patch.dict(sys.modules):
        for known in [k for k in sys.modules if f"{k}.".startswith((f"{library}.", f"{module}."))]:
            del sys.modules[known]
        sys.modules[library] = changed
        with pytest.raises(
            ImportError, match=rf"^{module} cannot use {library} \d\S* \(compared with \d.*\): "
        ):
            importlib.import_module(module)

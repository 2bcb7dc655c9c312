"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

pytest.importorskip("detectron2", reason="needs Detectron2")

from pps_torch.integrations import detectron2

MODULES = [
    info.name
    for info in pkgutil.walk_packages(detectron2.__path__, f"{detectron2.__name__}.")
    if not info.name.endswith("visualizer")  # needs OpenCV, see test_visualizer
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed == 0


def test_there_are_examples():
    modules = map(importlib.import_module, MODULES)
    assert sum(bool(t.examples) for m in modules for t in doctest.DocTestFinder().find(m)) > 10

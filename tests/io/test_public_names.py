"""`pps_torch.io` offers what most need, and loads a module when one of its names is asked for."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from pps_torch import io


def test_names_are_those_of_their_modules():
    for name in io.__all__:
        module = importlib.import_module(f"pps_torch.io.{io._MODULES[name]}")
        assert getattr(io, name) is getattr(module, name)
    assert io._MODULES.keys() == {*io.__all__} <= {*dir(io)}


def test_no_module_has_the_name_of_what_the_room_offers():
    modules = {path.stem for path in Path(io.__file__).parent.glob("*.py")}
    assert not modules & {*io.__all__}


def test_an_unknown_name_is_an_error():
    with pytest.raises(ImportError, match="cannot import name 'PanopticWritter'"):
        from pps_torch.io import PanopticWritter  # noqa: F401
    with pytest.raises(AttributeError, match="'pps_torch.io' has no attribute 'read_panoptic'"):
        io.read_panoptic  # noqa: B018


def test_the_room_loads_a_module_when_one_of_its_names_is_asked_for():
    code = (
        "import sys; from pps_torch.io import InputError, find_files; print(*sys.modules);"
        "from pps_torch.io import read_rgb_ids; print(*sys.modules)"
    )
    run = [sys.executable, "-c", code]
    output = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    first, second = (set(line.split()) for line in output.splitlines())
    assert "pps_torch.io.pairing" in first and not first & {"torch", "numpy", "PIL"}
    assert {"pps_torch.io.images", "numpy", "PIL"} <= second

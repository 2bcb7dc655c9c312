"""Fixtures shared by all tests: devices, and the folder of real images."""

from __future__ import annotations

import os
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest
import torch

from tests import ROOT

if not torch.cuda.is_available():  # read when a kernel is defined, so before the package
    os.environ["TRITON_INTERPRET"] = "1"

REAL_IMAGES = ROOT.parent / "shared" / "real"

DEVICES = ["cpu"]
if torch.cuda.is_available():
    DEVICES.append(pytest.param("cuda", marks=pytest.mark.gpu))

torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """Bundled specs take less time, also those that test files load when they are imported."""
    from tests.spec_files import bundled_specs_parsed_once

    parsed_once = ExitStack()
    parsed_once.enter_context(bundled_specs_parsed_once())
    config.add_cleanup(parsed_once.close)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the modules that tests share: they hold neither tests nor doctests."""
    is_shared = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_shared else None


@pytest.fixture(scope="session", autouse=True)
def interpreter():
    """Triton's interpreter, where there is one, takes less time."""
    from tests.triton_support import backends, quicker_interpreter

    with quicker_interpreter() if backends._HAS_TRITON else nullcontext():
        yield


@pytest.fixture(params=DEVICES)
def device(request) -> torch.device:
    """Every device of this machine, one test each."""
    return torch.device(request.param)


@pytest.fixture
def real_images() -> Path:
    """Folder of real images that are not part of the project."""
    if not REAL_IMAGES.is_dir():
        pytest.skip("needs ../shared/real beside the checkout")
    return REAL_IMAGES

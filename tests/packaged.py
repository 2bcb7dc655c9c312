"""What setup.py says, and the wheel and the sdist that it makes."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from tests import ROOT

SOURCES = (
    "pps_torch",
    "docs",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CITATION.cff",
    "LICENSE",
    "MANIFEST.in",
)

#: What building in place leaves beside the sources.
BUILT = ("*.so", "*.cpp")


def setup_arguments() -> dict[str, Any]:
    """What setup.py calls `setup` with."""
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path(str(ROOT / "setup.py"))
    return setup.call_args.kwargs


def build(kind: str, folder: Path) -> Path:
    """Builds `wheel` or `sdist` from a copy of the sources in `folder` -> the file."""
    copy = folder / "sources"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*", *BUILT)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            copy.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy / name)
    command = {"wheel": "bdist_wheel", "sdist": "sdist"}[kind]
    run = [sys.executable, "setup.py", "-q", command, "--dist-dir", str(folder / "dist")]
    subprocess.run(run, cwd=copy, check=True, capture_output=True, text=True)
    (built,) = (folder / "dist").iterdir()
    return built

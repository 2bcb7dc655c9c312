"""The compiled loops read and write nothing beside what they are given, as compilers can watch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from pps_torch.compiled import load_compiled
from pps_torch.env import COMPILED
from tests import ROOT

SANITIZERS = "-fsanitize=address,undefined"
RUNTIMES = ("libasan.so", "libubsan.so", "libstdc++.so")  # the last one, as Python itself is C
TESTS = ("tests/formats/test_runs.py", "tests/io/test_png_rows.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(None in map(shutil.which, ("gcc", "g++")), reason="needs gcc and g++"),
    pytest.mark.skipif(None in map(load_compiled, COMPILED), reason="needs pps_torch.compiled"),
]


def runtime(name: str) -> str:
    """The path of a library of gcc."""
    words = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Builds the compiled modules of a copy, whose sources a function may change, and tests it."""
    folder = tmp_path_factory.mktemp("sanitized")
    ignored = shutil.ignore_patterns("*.so", "*.cpp", "__pycache__")
    for name in ("pps_torch", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)

    def run(change=lambda source: source):
        source = folder / "pps_torch/compiled/runs.pyx"
        source.write_text(change((ROOT / "pps_torch/compiled/runs.pyx").read_text()))
        flags = f"{SANITIZERS} -fno-sanitize-recover=undefined -g"
        environment = {**os.environ, "CC": "gcc", "CXX": "g++", "PYTHONPATH": str(folder)}
        environment |= {"CFLAGS": flags, "CXXFLAGS": flags, "LDFLAGS": SANITIZERS}
        words = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        for built in (folder / "pps_torch/compiled").glob("*.so"):
            built.unlink()  # as a build that fails is only a warning
        subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
        assert len([*(folder / "pps_torch/compiled").glob("*.so")]) == len(COMPILED)
        environment |= {
            "LD_PRELOAD": " ".join(map(runtime, RUNTIMES)),
            "ASAN_OPTIONS": "detect_leaks=0",
        }
        words = [sys.executable, "-m", "pytest", "-x", "-s", "-p", "no:cacheprovider", *TESTS]
        return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)

    return run


def test_nothing_is_touched_beside_the_arrays(build):
    done = build()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_a_stray_write_is_seen(build):
    """The number of the image rounded down in place of up: marks before the block are set."""
    rounded_up, rounded_down = "(first + num_pixels - 1) // num_pixels", "first // num_pixels"

    def change(source):
        assert rounded_up in source
        return source.replace(rounded_up, rounded_down)

    done = build(change)
    assert done.returncode != 0 and "out of bounds" in done.stderr + done.stdout

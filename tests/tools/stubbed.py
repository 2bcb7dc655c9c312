"""Programs in which a stub stands in for the driver of a GPU, and kernels are not interpreted."""

from __future__ import annotations

import os
import subprocess
import sys

from tests import ROOT


def run_stubbed(*arguments: str) -> str:
    """What a program prints in a process in which kernels are compiled, not interpreted."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tools")])
    run = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout

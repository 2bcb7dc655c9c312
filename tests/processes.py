"""Functions in processes forked from one that has imported everything, and fresh interpreters."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pps_torch.pipelines.running.processes import leave_group
from tests import ROOT

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["torch.distributed", "pps_torch.cli.main", "pps_torch.pipelines"])


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A new Python that finds this package where this one does."""
    places = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True
    )


def in_processes(world_size: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """`function(rank, *args)` in each of several processes that talk by gloo -> what each returned.

    The function must be one that can be imported.
    """
    with tempfile.TemporaryDirectory() as folder:
        arguments = (world_size, Path(folder), function, args)
        mp.start_processes(_run, arguments, nprocs=world_size, start_method="forkserver")
        files = [Path(folder) / f"{rank}.pkl" for rank in range(world_size)]
        return [pickle.loads(file.read_bytes()) for file in files]


def _run(rank: int, world_size: int, folder: Path, function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # whatever the host's name resolves to
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=60),
    )
    (folder / f"{rank}.pkl").write_bytes(pickle.dumps(function(rank, *args)))
    dist.barrier()
    leave_group()

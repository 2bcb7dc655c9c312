"""Several processes that do not agree, or of which one does not answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pps_torch.pipelines.running import watch
from tests import ROOT
from tests.cli.small_dataset import SmallDataset, edit_json, never_read
from tests.cli.warm_processes import Job, WarmProcess, wait_until


def other_job(dataset: SmallDataset, tool: str, more: list[list[str]], folder: Path) -> Job:
    """Processes of which each has words of its own."""
    job = Job.__new__(Job)
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    common = {"WORLD_SIZE": str(len(more)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    common |= {"LOCAL_WORLD_SIZE": str(len(more)), "GLOO_SOCKET_IFNAME": "lo"}
    job.processes = [
        WarmProcess(
            words,
            folder / f"messages_{rank}.txt",
            {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank, words in enumerate(more)
    ]
    return job


def reordered(dataset: SmallDataset) -> Path:
    path = dataset.folder / "other.json"
    path.write_bytes(dataset.images_json.read_bytes())
    edit_json(path, lambda content: content["images"].reverse())
    return path


def shorter(dataset: SmallDataset) -> Path:
    path = dataset.folder / "other.json"
    path.write_bytes(dataset.images_json.read_bytes())
    edit_json(path, lambda content: content["images"].pop())
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tool", "change", "what"),
    [
        ("eval_partpq", reordered, "images"),
        ("eval_partpq", "cpp_grouped", "spec"),
        ("merge_to_panoptic", "--score_threshold .4", "options"),
        ("merge_to_panoptic", shorter, "images"),
        ("merge_to_pps", reordered, "images"),
        ("merge_to_panoptic", "--overwrite", "options"),
        ("eval_pq", "--tables", "options"),
    ],
)
def test_processes_that_differ_are_told_before_any_work(tmp_path, tool, change, what):
    dataset = SmallDataset(tmp_path)
    words = dataset.arguments(tool)
    if callable(change):
        other = [str(change(dataset)) if w == str(dataset.images_json) else w for w in words]
    elif change == "cpp_grouped":
        other = [change if word == "cpp_default" else word for word in words]
    else:
        other = [*words, *change.split()]
    job = other_job(dataset, tool, [words, words, other], tmp_path / "messages")
    assert job.exit_codes(30) == [2, 2, 2], job.messages()
    (line,) = "".join(job.messages()).splitlines()
    assert line.startswith("error: rank ") and "rank 2 (host " in line
    assert f"expected the {what} of the first process, found another" in line
    assert dataset.written() == {}


class Impatient:
    """The command, with heartbeats that are missed sooner."""

    def __call__(self) -> int:
        from pps_torch.cli.main import main

        watch.BEAT, watch.MOST_MISSED = 0.2, 5
        return main()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world_size", "victim"),
    [(2, 1), (2, 0), (3, 2), (4, 0), (4, 3)],
)
def test_a_stopped_process_ends_the_others_and_is_named(tmp_path, world_size, victim):
    dataset = SmallDataset(tmp_path, 8)
    with never_read([sorted(dataset.semantic.iterdir())[-1]]) as is_reading:
        words = dataset.arguments("merge_to_panoptic")
        job = Job(words, world_size, tmp_path / "messages", program=Impatient())
        wait_until(is_reading)
        pid = job.processes[victim].process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            others = [p for rank, p in enumerate(job.processes) if rank != victim]
            assert [process.wait(20) for process in others] == [1] * (world_size - 1)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert job.processes[victim].wait(20) == 1
    messages = [m for rank, m in enumerate(job.messages()) if rank != victim]
    text = f"error: rank {victim} (host {socket.gethostname()}, pid {pid}): has not answered"
    assert "".join(messages).count(text) == 1, messages


@pytest.mark.slow
def test_all_stopped_together_go_on(tmp_path):
    """Ctrl-Z and `fg`, or a laptop that slept: nobody has missed anybody."""
    dataset = SmallDataset(tmp_path, 8)
    with never_read([sorted(dataset.semantic.iterdir())[-1]]) as is_reading:
        words = dataset.arguments("merge_to_panoptic")
        job = Job(words, 2, tmp_path / "messages", program=Impatient())
        wait_until(is_reading)
        for stop in (signal.SIGSTOP, signal.SIGCONT):
            for process in job.processes:
                os.kill(process.process.pid, stop)
            time.sleep(3)
        assert [process.process.exitcode for process in job.processes] == [None, None]
        job.processes[0].kill()
        assert job.processes[1].wait(20) == 1


@pytest.mark.slow
def test_two_machines(tmp_path):
    """Two agents of torchrun with an output folder that both see; then one of them is killed."""
    tool, count = "merge_to_panoptic", 12
    alone, dataset = SmallDataset(tmp_path / "alone", count), SmallDataset(tmp_path / "two", count)
    assert alone.run(tool) == 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment["GLOO_SOCKET_IFNAME"] = "lo"

    def agent(rank: int) -> subprocess.Popen:
        launch = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nnodes=2",
            f"--node_rank={rank}",
        ]
        launch += ["--nproc_per_node=2", "--master_addr=127.0.0.1", f"--master_port={port}"]
        script = [str(ROOT / "tests/cli/marked_files.py"), *dataset.arguments(tool)]
        return subprocess.Popen(
            [*launch, *script], env=environment, stderr=subprocess.PIPE, text=True
        )

    agents = [agent(0), agent(1)]
    messages = [each.communicate(timeout=120)[1] for each in agents]
    assert [each.returncode for each in agents] == [0, 0], messages
    assert dataset.written() == alone.written()

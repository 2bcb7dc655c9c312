"""Several processes share the images: the same bytes for any number; one that fails ends all."""

from __future__ import annotations

import functools
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from pps_torch.pipelines.running import processes
from tests import ROOT
from tests.cli.small_dataset import SmallDataset, edit_json, never_read
from tests.cli.warm_processes import TIMEOUT, Job, WarmProcess, wait_until

TOOLS = (
    "merge_to_panoptic",
    "merge_to_panoptic Cityscapes",
    "merge_to_pps",
    "eval_partpq",
    "eval_pq",
)
COUNT = 7


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process writes and prints, by the tool."""

    @functools.cache
    def written_and_printed(tool):
        folder = tmp_path_factory.mktemp("alone")
        dataset = imperfect_dataset(folder)
        result = run_alone(dataset, tool, folder)
        return dataset.written(), result

    return written_and_printed


def imperfect_dataset(folder) -> SmallDataset:
    """Predictions of one image are those of another, and two maps have ids that are unknown."""
    dataset = SmallDataset(folder, COUNT)
    names = sorted(path.name for path in dataset.pps.iterdir())
    (dataset.pps / names[0]).write_bytes((dataset.pps / names[5]).read_bytes())
    for number, value in ((2, 77), (4, 78)):
        for folder in (dataset.semantic, dataset.parts):
            path = sorted(folder.iterdir())[number]
            image = Image.open(path)
            image.putpixel((0, 0), value)
            image.save(path)
    return dataset


def run_alone(dataset, tool, folder) -> str:
    job = Job(dataset.arguments(tool), 1, folder / "messages")
    assert job.exit_codes() == [0], job.messages()
    return job.messages()[0].replace(str(dataset.folder), "")


def shuffled(dataset, seed):
    edit_json(dataset.images_json, lambda c: random.Random(seed).shuffle(c["images"]))


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 3, 8])
@pytest.mark.parametrize("tool", TOOLS)
def test_any_number_of_processes_writes_the_same_bytes(tmp_path, alone, tool, world_size):
    dataset = imperfect_dataset(tmp_path)
    job = Job(dataset.arguments(tool), world_size, tmp_path / "messages")
    assert job.exit_codes() == [0] * world_size, job.messages()
    written, result = alone(tool)
    assert dataset.written() == written
    first, *others = job.messages()
    assert first.replace(str(dataset.folder), "") == result
    assert "".join(others) == ""
    assert not list(dataset.output.rglob("*_tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["merge_to_pps", "eval_partpq"])
def test_the_order_of_the_list_changes_no_byte(tmp_path, alone, tool):
    dataset = imperfect_dataset(tmp_path)
    shuffled(dataset, seed=1)
    job = Job(dataset.arguments(tool), 3, tmp_path / "messages")
    assert job.exit_codes() == [0, 0, 0], job.messages()
    written, result = alone(tool)
    assert dataset.written() == written
    assert job.messages()[0].replace(str(dataset.folder), "") == result


@pytest.mark.slow
def test_progress_is_that_of_the_first_process(tmp_path):
    dataset = SmallDataset(tmp_path)
    words = [word for word in dataset.arguments("merge_to_pps") if word != "--quiet"]
    job = Job(words, 2, tmp_path / "messages")
    assert job.exit_codes() == [0, 0]
    first, second = job.messages()
    assert "merging, rank 0 of 2: 100%" in first and "waiting for the other" in first
    assert "3 images merged" in first and second == ""


@pytest.mark.slow
def test_bad_input_of_one_process_ends_all_with_one_message(tmp_path):
    dataset = SmallDataset(tmp_path, COUNT)
    bad = sorted(dataset.pps.iterdir())[5]  # an image of rank 2
    bad.write_bytes(bad.read_bytes()[:60])
    job = Job(dataset.arguments("eval_partpq"), 3, tmp_path / "messages")
    assert job.exit_codes(20) == [2, 2, 2]
    first, *others = job.messages()
    assert first.startswith("error: rank 2 (host ") and first.count("\n") == 1
    assert bad.name in first and "damaged or cut off" in first
    assert "".join(others) == "" and dataset.written() == {}


@pytest.mark.slow
def test_bad_input_of_all_processes_is_told_once(tmp_path):
    dataset = SmallDataset(tmp_path)
    dataset.images_json.unlink()
    job = Job(dataset.arguments("merge_to_pps"), 3, tmp_path / "messages")
    assert job.exit_codes(20) == [2, 2, 2]
    assert "".join(job.messages()).count("error: ") == 1
    assert "images.json: cannot be read" in job.messages()[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run writes."""
    dataset = SmallDataset(tmp_path_factory.mktemp("whole"), 30)
    assert dataset.run("merge_to_panoptic") == 0
    return dataset.written()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_killed_process_ends_the_others_and_is_named(tmp_path, whole, victim):
    dataset = SmallDataset(tmp_path, 30)
    tool = "merge_to_panoptic"
    with never_read([sorted(dataset.semantic.iterdir())[-1]]) as is_reading:
        job = Job(dataset.arguments(tool), 3, tmp_path / "messages")
        wait_until(lambda: is_reading() and len(dataset.written()) >= 5)
        pid = job.processes[victim].process.pid
        killed_at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        codes = job.exit_codes(20)
    assert time.monotonic() - killed_at < 5
    assert codes == [-signal.SIGKILL if rank == victim else 1 for rank in range(3)]
    messages = "".join(job.messages())
    assert messages.startswith(f"error: rank {victim} (host ") and f"pid {pid}" in messages
    assert messages.count("\n") == 1 and "killed" in messages

    partial = dataset.written()
    assert "panoptic.json" not in partial and partial.items() <= whole.items()
    times = {name: (dataset.output / name).stat().st_mtime_ns for name in partial}

    job = Job(dataset.arguments(tool), 2, tmp_path / "messages")
    assert job.exit_codes() == [0, 0], job.messages()
    assert dataset.written() == whole
    redone = sum((dataset.output / name).stat().st_mtime_ns != times[name] for name in partial)
    assert redone <= 6  # at most what the threads had in hand
    assert not list(dataset.output.rglob("*_tmp"))


@pytest.mark.slow
def test_a_process_that_dies_in_an_evaluation_is_named(tmp_path):
    dataset = SmallDataset(tmp_path)
    with never_read([sorted(dataset.gt.iterdir())[1]]) as is_reading:  # the image of rank 1
        job = Job(dataset.arguments("eval_partpq"), 2, tmp_path / "messages")
        wait_until(is_reading)
        job.processes[1].process.kill()
        assert job.exit_codes(20) == [1, -signal.SIGKILL]
    assert job.messages()[0].startswith("error: rank 1") and dataset.written() == {}


def join_in_a_second() -> int:
    with processes.joined_processes(processes.processes_of_environment(), join_timeout=1):
        return 0


@pytest.mark.slow
def test_a_process_that_never_starts_is_named(tmp_path):
    variables = {"WORLD_SIZE": "3", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    alone = WarmProcess([], tmp_path / "messages.txt", variables, program=join_in_a_second)
    assert alone.wait() == 1
    assert alone.messages.read_text() == "error: rank 1, 2: did not join within 1 seconds\n"


def leave_by_sys_exit() -> int:
    found = processes.processes_of_environment()
    with processes.joined_processes(found):
        if found.rank == 1:
            sys.exit(0)
        time.sleep(TIMEOUT)
    return 0


@pytest.mark.slow
def test_a_process_that_exits_in_the_middle_is_named(tmp_path):
    job = Job([], 2, tmp_path, program=leave_by_sys_exit)
    assert job.exit_codes(20) == [1, 1]
    (line,) = "".join(job.messages()).splitlines()
    assert line.startswith("error: rank 1 (host ")
    assert line.endswith("ended before its work was done, by SystemExit(0)")


@pytest.mark.slow
def test_a_result_that_cannot_be_written_fails_all(tmp_path):
    dataset = SmallDataset(tmp_path)
    dataset.output.write_text("a file where the folder should be")
    job = Job([*dataset.arguments("eval_pq"), "--overwrite"], 2, tmp_path / "messages")
    assert job.exit_codes(20) == [2, 2]
    assert "".join(job.messages()).count("\n") == 1


def test_a_wrong_environment_is_one_clear_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "two")
    assert SmallDataset(tmp_path).run("eval_pq") == 2
    message = "error: WORLD_SIZE: expected an integer from 1, found 'two'\n"
    assert capsys.readouterr().err == message


def test_other_commands_run_in_one_process(tmp_path, monkeypatch, capsys):
    variables = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert SmallDataset(tmp_path).run("visualize") == 2
    assert "visualize: runs in one process, found WORLD_SIZE 2" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True])
def test_torchrun(tmp_path, alone, kill):
    """The real launcher, which ends the others of its machine itself."""
    dataset = imperfect_dataset(tmp_path)
    command, *words = dataset.arguments("merge_to_panoptic")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = [str(ROOT / "tests/cli/marked_files.py"), command, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    launch_it = functools.partial(
        subprocess.Popen, [*launch, *script], env=environment, stderr=subprocess.PIPE, text=True
    )
    if not kill:
        process = launch_it()
        assert process.wait(60) == 0, process.stderr.read()
        assert dataset.written() == alone("merge_to_panoptic")[0]
        return
    with never_read([sorted(dataset.semantic.iterdir())[1]]) as is_reading:  # an image of rank 1
        process = launch_it()
        wait_until(is_reading)
        os.kill(pid_of_rank(1, process.pid), signal.SIGKILL)
        _, messages = process.communicate(timeout=60)
    assert process.returncode != 0 and messages.count("error: rank 1 (host ") <= 1, messages
    # The launcher names it too, and may end the other process before that one has said it.
    assert re.search(r"error: rank 1 \(host |rank +: 1 ", messages), messages


def pid_of_rank(rank: int, launcher: int) -> int:
    """The worker of a launcher on this machine, found in /proc."""
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = status.read_bytes().split(b"\0")
            parent = int((status.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == launcher and f"RANK={rank}".encode() in variables:
            return int(status.parent.name)
    raise LookupError("no such worker")

"""A full disk or a read-only folder: one clear error, nothing lost, and the next run goes on."""

from __future__ import annotations

import builtins
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pps_torch.io import atomic, run_journal
from tests.cli.small_dataset import SmallDataset
from tests.cli.warm_processes import TIMEOUT
from tests.processes import CONTEXT

TOOLS = ("merge_to_panoptic", "merge_to_pps", "eval_partpq", "eval_pq")
OTHER = ["--score_threshold", "0.95"]  # without any car


class FullDisk:
    """A disk that takes so many writes, half of the next one and none after it."""

    def __init__(self, monkeypatch, free: int) -> None:
        self.free, self.refused = free, 0
        write = atomic._write

        def write_to_full_disk(path, content):
            self._take(lambda: write(path, content[: len(content) // 2]))
            write(path, content)

        def open_on_full_disk(path, mode="r", **more):
            if "a" in mode:
                self._take(lambda: append_half(path))
            return builtins.open(path, mode, **more)

        def append_half(path):
            with builtins.open(path, "a") as file:
                file.write('\n{"image": "str')

        monkeypatch.setattr(atomic, "_write", write_to_full_disk)
        monkeypatch.setattr(run_journal, "open", open_on_full_disk, raising=False)

    def _take(self, write_half) -> None:
        if self.free > 0:
            self.free -= 1
            return
        if self.refused == 0:
            write_half()
        self.refused += 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def one_error(capsys, *fragments):
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1, message
    assert all(fragment in message for fragment in fragments), message


@pytest.mark.parametrize(
    "tool", [*TOOLS[2:], *(pytest.param(tool, marks=pytest.mark.slow) for tool in TOOLS[:2])]
)
def test_disk_that_is_full_after_any_number_of_writes(tmp_path, monkeypatch, capsys, tool):
    whole = SmallDataset(tmp_path / "whole")
    assert whole.run(tool) == 0
    expected, free = whole.written(), 0
    while True:
        dataset = SmallDataset(tmp_path / f"free_{free}")
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, free)
            code = dataset.run(tool, "--workers", "1")
        if disk.refused == 0:
            break
        assert code == 2
        one_error(capsys, str(dataset.output), "cannot be written: No space left on device")
        assert dataset.written().items() <= expected.items()
        assert not list(dataset.output.rglob("*_tmp"))
        assert dataset.run(tool) == 0
        assert dataset.written() == expected
        free += 1
    assert free == {"merge_to_panoptic": 8, "merge_to_pps": 7}.get(tool, 2)


@pytest.mark.slow
def test_replacing_on_a_full_disk_loses_nothing(tmp_path, monkeypatch, capsys):
    """Each file is the old or the new one, and the JSON goes with the first PNG, not before."""
    tool, free = "merge_to_panoptic", 0
    dataset = SmallDataset(tmp_path)
    assert dataset.run(tool) == 0
    old = dataset.written()
    assert dataset.run(tool, *OTHER, "--overwrite") == 0
    new = dataset.written()
    capsys.readouterr()  # a warning: no car
    while True:
        assert dataset.run(tool, "--overwrite") == 0
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, free)
            code = dataset.run(tool, *OTHER, "--overwrite", "--workers", "1")
        written = dataset.written()
        if disk.refused == 0:
            break
        assert code == 2
        one_error(capsys, "No space left on device")
        replaced = [name for name in written if written[name] != old[name]]
        assert all(written[name] == new[name] for name in replaced)
        assert written.keys() | {"panoptic.json"} == old.keys()
        assert ("panoptic.json" in written) == (not replaced)
        free += 1
    assert free == 8 and written == new


def test_resuming_on_a_full_disk_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    dataset = SmallDataset(tmp_path)
    assert dataset.run("merge_to_panoptic") == 0
    before = dataset.written()
    with monkeypatch.context() as patch:
        FullDisk(patch, 0)
        assert dataset.run("merge_to_panoptic") == 2
    one_error(capsys, "panoptic.json: cannot be written: No space left on device")
    assert dataset.written() == before


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_largest_file_that_the_system_allows(tmp_path, tool):
    """A real limit of the kernel, for files that are a little longer than it."""
    whole, dataset = SmallDataset(tmp_path / "whole"), SmallDataset(tmp_path / "limited")
    assert whole.run(tool) == 0
    longest = max(map(len, whole.written().values()))
    messages = tmp_path / "messages.txt"
    for limit in (0, longest // 2, longest - 1):
        run = CONTEXT.Process(
            target=run_limited, args=(limit, dataset.arguments(tool), messages), daemon=True
        )
        run.start()
        run.join(TIMEOUT)
        assert run.exitcode == 2
        assert "cannot be written: File too large" in messages.read_text()
        assert dataset.written().items() <= whole.written().items()
    assert dataset.run(tool) == 0
    assert dataset.written() == whole.written()
    assert not list(dataset.output.rglob("*_tmp"))


def run_limited(limit: int, words: list[str], messages: Path) -> None:
    file = os.open(messages, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    reader, writer = os.pipe()  # the limit is no limit for pipes
    os.dup2(writer, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    from pps_torch.cli.main import main

    code = main(words)
    sys.stderr.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.write(file, os.read(reader, 60_000))
    os._exit(code)


@pytest.fixture
def file_system(tmp_path):
    """Makes a small file system; `mount(path, options)`."""
    mounted = []

    def mount(path: Path, options: str) -> None:
        path.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("may not mount a file system")
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


@pytest.mark.slow
def test_small_file_system(tmp_path, file_system):
    tool, small = "merge_to_pps", tmp_path / "small"
    file_system(small, "size=24k")
    whole, dataset = (SmallDataset(tmp_path / name, 20) for name in ("whole", "dataset"))
    dataset.output = small / "output"
    assert whole.run(tool) == 0
    assert dataset.run(tool) == 2
    partial = dataset.written()
    assert 0 < len(partial) < 20 and partial.items() <= whole.written().items()
    remount(small, "size=4m")
    assert dataset.run(tool) == 0
    assert dataset.written() == whole.written()


@pytest.fixture(params=["permissions", "mount"])
def make_read_only(request, tmp_path):
    """`begin` before anything is written, and `lock`."""
    if request.param == "mount":
        mount = request.getfixturevalue("file_system")
        return lambda path: mount(path, "size=4m"), lambda path: remount(path, "ro")
    request.addfinalizer(lambda: chmod(tmp_path, "u+w"))
    trial = tmp_path / "trial"
    trial.mkdir()
    chmod(trial, "a-w")
    if os.access(trial, os.W_OK):
        pytest.skip("this user may write anywhere")
    return Path.mkdir, lambda path: chmod(path, "a-w")


def chmod(path: Path, mode: str) -> None:
    subprocess.run(["chmod", "-R", mode, str(path)], check=True)


@pytest.mark.parametrize("state", ["new", "finished", "begun", "replaced"])
@pytest.mark.parametrize("tool", TOOLS)
def test_read_only_folder(tmp_path, make_read_only, capsys, tool, state):
    begin, lock = make_read_only
    dataset = SmallDataset(tmp_path / "dataset")
    begin(dataset.output)
    if state != "new":
        assert dataset.run(tool) == 0
    if state == "begun":
        (dataset.output / max(dataset.written())).unlink()
    before = dataset.written()
    lock(dataset.output)
    more = ["--overwrite"] if state == "replaced" or tool.startswith("eval") else []
    capsys.readouterr()
    code = dataset.run(tool, *more)
    message = capsys.readouterr().err
    if state == "finished" and tool == "merge_to_pps":
        assert code == 0, message  # there is nothing to write
    else:
        assert code == 2
        assert message.startswith("error: ") and "cannot be " in message
        assert "Permission denied" in message or "Read-only file system" in message
        assert message.count("\n") == 1
    assert dataset.written() == before

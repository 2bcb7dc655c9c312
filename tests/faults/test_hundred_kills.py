"""A hundred kills at random moments over all writing commands, and a disk that fills up."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.cli.small_dataset import SmallDataset
from tests.cli.warm_processes import WarmProcess

COUNT, KILLS, SEED = 16, 100, 18
COMMANDS = (
    "prepare_data",
    "merge_to_panoptic",
    "merge_to_panoptic Cityscapes",
    "merge_to_pps",
    "eval_partpq",
    "eval_pq",
    "visualize",
    "report",
)


class Command:
    """A command on a data set of its own; what it writes does not depend on where that is."""

    def __init__(self, folder: Path, name: str, count: int = COUNT) -> None:
        self.name, self.dataset = name, SmallDataset(folder / "dataset", count)
        self.messages = folder / "messages.txt"
        output = self.dataset.output
        if name == "prepare_data":
            self.words = [name, self.dataset.gt, output, "Cityscapes"]
        elif name == "report":
            assert self.dataset.run("eval_pq", "--tables") == 0
            output.rename(self.dataset.folder / "tables")
            self.words = [name, self.dataset.folder / "tables", output / "report.html"]
        else:
            tables = ["--tables"] if name.startswith("eval") else []
            self.words = [*self.dataset.arguments(name), *tables]
        self.words = [*map(str, self.words)]

    def start(self) -> WarmProcess:
        return WarmProcess(self.words, self.messages)

    def run(self) -> int:
        return self.start().wait()

    def clear(self) -> None:
        shutil.rmtree(self.dataset.output, ignore_errors=True)

    def has_temporaries(self) -> bool:
        return any(self.dataset.output.rglob("*_tmp"))


@pytest.mark.slow
def test_a_hundred_kills(tmp_path):
    """The same command, run again, writes the same bytes; no file is ever half written."""
    rng, kills, kept = random.Random(SEED), Counter(), Counter()
    commands = [Command(tmp_path / str(number), name) for number, name in enumerate(COMMANDS)]
    whole = {}
    for command in commands:
        assert command.run() == 0, command.messages.read_text()
        command.clear()
        begun = time.monotonic()
        assert command.run() == 0
        whole[command.name] = command.dataset.written(), time.monotonic() - begun
        command.clear()
    while sum(kills.values()) < KILLS:
        command = min(commands, key=lambda command: kills[command.name])
        expected, seconds = whole[command.name]
        process = command.start()
        process.process.join(rng.uniform(0.1, 1.05) * seconds)
        was_killed = process.process.exitcode is None
        process.kill()
        kills[command.name] += was_killed
        written = command.dataset.written()
        assert written.items() <= expected.items(), command.name
        kept[command.name] += len(written)
        if was_killed and rng.random() < 0.5:
            continue  # killed again before it is done
        # Only a file that is whole may be in the way, and only of a command that has one file.
        code = command.run()
        is_there = command.name == "report" or command.name.startswith("eval")
        assert code == 0 or is_there and written == expected, command.messages.read_text()
        assert command.dataset.written() == expected
        assert not command.has_temporaries() or command.name in ("report", "prepare_data")
        command.clear()
    print(f"{sum(kills.values())} kills: {dict(kills)}; files found whole: {dict(kept)}")


@pytest.fixture
def small_disk(tmp_path):
    """`mount(size)`, a file system of so many bytes."""
    path = tmp_path / "disk"
    path.mkdir()

    def mount(size: int) -> Path:
        subprocess.run(["umount", str(path)], capture_output=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
        if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("may not mount a file system")
        return path

    yield mount
    subprocess.run(["umount", str(path)], capture_output=True)


def blocks(folder: Path) -> int:
    """The bytes that the files of a folder take on a disk of pages."""
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file())


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full(tmp_path, small_disk, name):
    """At 5, 50 and 95 % of the output: one line, only whole files, and the rest with more room."""
    command = Command(tmp_path / "command", name)
    assert command.run() == 0
    expected, needed = command.dataset.written(), blocks(command.dataset.output)
    command.clear()
    full = 0
    for share in (0.05, 0.5, 0.95):
        disk = small_disk(max(4096, int(share * needed) // 4096 * 4096))
        command.dataset.output.symlink_to(disk)
        code, message = command.run(), command.messages.read_text()
        errors = [line for line in message.splitlines() if line.startswith("error: ")]
        assert (code, len(errors)) in ((2, 1), (0, 0)), message
        assert "Traceback" not in message
        full += code == 2
        assert code == 0 or "No space left on device" in errors[0], message
        assert command.dataset.written().items() <= expected.items()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert code == 0 or command.run() == 0, command.messages.read_text()
        assert command.dataset.written() == expected
        command.dataset.output.unlink()
    assert full >= 2 or name == "prepare_data"  # its file fits in the smallest disk
    print(f"{name}: full at {full} of 3 sizes of {needed} bytes")

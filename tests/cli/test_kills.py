"""kill -9 at many random moments: only whole files, and the next run does what is missing."""

from __future__ import annotations

import random
import time

import pytest

from tests.cli.small_dataset import SmallDataset
from tests.cli.warm_processes import Job, WarmProcess

COUNT, KILLS, WORKERS = 30, 12, 2
SEED = 20261121


class Campaign:
    """Runs of one tool that are killed and resumed until one ends by itself."""

    def __init__(self, folder, tool: str, rng: random.Random) -> None:
        self.tool, self.rng = tool, rng
        whole = SmallDataset(folder / "whole", COUNT)
        assert self.process(whole).wait() == 0  # the first process waits for the imports
        begun = time.monotonic()
        assert self.process(whole, "--overwrite").wait() == 0
        self.seconds = time.monotonic() - begun
        self.expected = whole.written()
        self.folder, self.dataset = folder, SmallDataset(folder / "0", COUNT)
        self.kills = self.finished = 0

    def process(self, dataset, *more) -> WarmProcess:
        messages = dataset.folder / "messages.txt"
        return WarmProcess([*dataset.arguments(self.tool), *more], messages)

    def run(self) -> None:
        """One run, killed at a random moment unless it ends before."""
        before = self.times()
        process = self.process(self.dataset)
        process.process.join(self.rng.uniform(0, self.seconds))
        if process.process.exitcode is None:
            process.kill()
            self.kills += 1
        else:
            assert process.wait() == 0, process.messages.read_text()
        self.check(before)
        if process.process.exitcode == 0:
            assert self.dataset.written() == self.expected
            assert not list(self.dataset.output.rglob("*_tmp"))
            self.finished += 1
            self.dataset = SmallDataset(self.folder / str(self.finished), COUNT)

    def times(self) -> dict[str, int]:
        return {
            name: (self.dataset.output / name).stat().st_mtime_ns
            for name in self.dataset.written()
            if name.endswith(".png")
        }

    def check(self, before: dict[str, int]) -> None:
        assert self.dataset.written().items() <= self.expected.items()
        after = self.times()
        redone = [name for name in before if after[name] != before[name]]
        assert len(redone) <= WORKERS, f"{redone}: were whole, and are done again"


@pytest.mark.slow
@pytest.mark.parametrize(
    "tool", ["merge_to_panoptic", "merge_to_panoptic Cityscapes", "merge_to_pps"]
)
def test_random_kills(tmp_path, tool):
    campaign = Campaign(tmp_path, tool, random.Random(f"{SEED} {tool}"))
    while campaign.kills < KILLS:
        campaign.run()
    while campaign.finished == 0:
        campaign.run()


@pytest.mark.slow
def test_random_kills_while_other_files_are_replaced(tmp_path):
    """The old JSON is gone when the first PNG is new; no JSON without all of its PNGs."""
    tool, rng = "merge_to_panoptic", random.Random(SEED)
    dataset = SmallDataset(tmp_path / "dataset", 12)
    messages = tmp_path / "messages.txt"
    threshold = ["--score_threshold", "0.95"]  # without any car
    trees = []
    for more in ([], threshold):
        begun = time.monotonic()
        words = [*dataset.arguments(tool), *more, "--overwrite"]
        assert WarmProcess(words, messages).wait() == 0
        seconds = time.monotonic() - begun
        trees.append(dataset.written())
    old, new = trees
    assert all(old[name] != new[name] for name in old)

    for kill in range(KILLS):
        assert dataset.run(tool, "--overwrite") == 0
        process = WarmProcess(words, messages)
        process.process.join(rng.uniform(0, seconds))
        process.kill()
        written = dataset.written()
        kinds = {name: (old[name] == content) for name, content in written.items()}
        assert all(content in (old[name], new[name]) for name, content in written.items())
        if "panoptic.json" in written:
            assert len(set(kinds.values())) == 1, f"kill {kill}: {kinds}"
        again = [] if not any(kinds.values()) else ["--overwrite"]
        assert dataset.run(tool, *threshold, *again) == 0
        assert dataset.written() == new


@pytest.mark.slow
def test_random_kills_of_several_processes(tmp_path):
    """Resumed by another number of processes each time."""
    tool, rng = "merge_to_panoptic", random.Random(SEED)
    whole = SmallDataset(tmp_path / "whole", COUNT)
    assert whole.run(tool) == 0
    expected = whole.written()
    dataset = SmallDataset(tmp_path / "killed", COUNT)
    for _ in range(KILLS // 3):
        job = Job(dataset.arguments(tool), rng.choice([2, 3]), tmp_path / "messages")
        deadline = time.monotonic() + rng.uniform(0.1, 0.6)
        while time.monotonic() < deadline and None in [p.process.exitcode for p in job.processes]:
            time.sleep(0.01)
        for process in job.processes:  # one that is killed before it joins cannot be missed so soon
            process.kill()
        assert dataset.written().items() <= expected.items()
    job = Job(dataset.arguments(tool), 2, tmp_path / "messages")
    assert job.exit_codes() == [0, 0], job.messages()
    assert dataset.written() == expected and not list(dataset.output.rglob("*_tmp"))

"""Runs one step after the other within the time, and writes the report anew after each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from verification.steps import NO_TESTS, ROOT, TOOLS, Step

#: Seconds that a step has to say what it knows after it was told to stop.
GRACE = 8.0
#: A step that would have less is not started.
LEAST = 5.0
#: Lines of what a step prints that the report shows; of its messages if it was too slow.
MOST_LINES, FEW_LINES = 40, 12
#: How the steps tell that something is wrong, should they not live to say it with an exit code.
WRONG = re.compile(rb"^(FAILED|ERROR|MISMATCH) |\| FAILED", re.MULTILINE)


@dataclass
class Outcome:
    """What became of a step."""

    step: Step
    verdict: str = "not started"
    seconds: float = 0.0
    limit: float = 0.0
    text: str = ""

    @property
    def has_failed(self) -> bool:
        """Whether the step ran and found something wrong."""
        return self.verdict.startswith("FAILED")


@dataclass
class Run:
    """All steps, and the report of those that have run.

    Attributes:
        steps: in their order.
        folder: for the report and what the steps print.
        header: versions and the like, first in the report.
        environment: variables set for the steps.
    """

    steps: Sequence[Step]
    folder: Path
    header: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.outcomes = [Outcome(step) for step in self.steps]
        self.write()

    def within(self, seconds: float) -> int:
        """Runs the steps; 1 if one of them failed."""
        end = time.monotonic() + seconds
        for number, outcome in enumerate(self.outcomes):
            left = end - time.monotonic() - GRACE
            weights = [later.step.weight for later in self.outcomes[number:]]
            outcome.limit = left * weights[0] / sum(weights)
            if outcome.limit < LEAST:
                outcome.verdict = "NOT RUN: no time left"
            else:
                self._run(number, outcome)
            self.write()
        return int(any(outcome.has_failed for outcome in self.outcomes))

    def _run(self, number: int, outcome: Outcome) -> None:
        outcome.verdict = "running"
        self.write()
        printed = self.folder / f"step_{number + 1}.txt"
        errors = self.folder / f"step_{number + 1}_messages.txt"
        with printed.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(
                outcome.step.command(outcome.limit),
                cwd=ROOT,
                env=self._environment(),
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        title = f"{number + 1}/{len(self.steps)} {outcome.step.name}"
        begun = time.monotonic()
        try:
            in_time = _wait(process, outcome.limit, title)
        finally:
            _stop(process)
        outcome.seconds = time.monotonic() - begun
        is_wrong = WRONG.search(printed.read_bytes()) is not None
        outcome.verdict = _verdict(process.returncode, in_time, is_wrong)
        outcome.text = _text(outcome.step, printed)
        if outcome.has_failed or not in_time:
            count = MOST_LINES if outcome.has_failed else FEW_LINES
            outcome.text += f"\n\nIts last messages:\n\n{_last_lines(errors, count)}"

    def _environment(self) -> dict[str, str]:
        places = filter(None, [str(TOOLS), str(ROOT), os.environ.get("PYTHONPATH")])
        return {**os.environ, **self.environment, "PYTHONPATH": os.pathsep.join(places)}

    def write(self) -> None:
        """Writes verify_gpu.md."""
        lines = ["# Verification on a GPU", ""]
        lines += [f"- {name}: {value}" for name, value in self.header.items()]
        lines += ["", "| step | result | seconds | of at most |", "|---|---|---|---|"]
        for outcome in self.outcomes:
            limit = f"{outcome.limit:.0f}" if outcome.limit else ""
            name, verdict = outcome.step.name, outcome.verdict
            lines.append(f"| {name} | {verdict} | {outcome.seconds:.0f} | {limit} |")
        for outcome in self.outcomes:
            if outcome.text:
                lines += ["", f"## {outcome.step.name}", "", outcome.text.strip()]
        part = self.folder / "verify_gpu.md.part"
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        part.replace(self.folder / "verify_gpu.md")


def _wait(process: subprocess.Popen, limit: float, title: str) -> bool:
    """Shows the seconds of a process until it ends -> whether it ended within the limit."""
    begun = time.monotonic()
    bar = "{desc}: {n:.0f}/{total:.0f} s |{bar}|"
    with tqdm(total=limit, desc=title, bar_format=bar, mininterval=2) as progress:
        while time.monotonic() - begun < limit:
            try:
                process.wait(timeout=0.5)
                return True
            except subprocess.TimeoutExpired:
                progress.update(min(time.monotonic() - begun, limit) - progress.n)
    return process.poll() is not None


def _stop(process: subprocess.Popen) -> None:
    """Asks the process to end, so that it says what it knows, then ends it and all it started."""
    if process.poll() is None:
        _signal(process, signal.SIGINT)
        try:
            process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            pass
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen, number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # all of them have ended


def _verdict(code: int, in_time: bool, is_wrong: bool) -> str:
    if not in_time:
        what = "FAILED, and " if is_wrong else ""
        return f"{what}OUT OF TIME: what it found until then stands below"
    if code == NO_TESTS:
        return "NOT RUN: no test is chosen"
    if code == 0:
        return "passed"
    return f"FAILED: killed by signal {-code}" if code < 0 else f"FAILED: exit code {code}"


def _text(step: Step, printed: Path) -> str:
    """What the report shows of a step."""
    if step.result is not None and step.result.exists():
        return step.result.read_text(encoding="utf-8")
    if step.prints_markdown:
        return printed.read_text(encoding="utf-8", errors="replace")
    return _last_lines(printed, MOST_LINES)


def _last_lines(file: Path, count: int) -> str:
    """The end of a file as a block of code; of a progress bar, what it showed last."""
    text = file.read_text(encoding="utf-8", errors="replace")
    lines = [line.rstrip().split("\r")[-1] for line in text.rstrip().split("\n")]
    return "\n".join(["```", *lines[-count:], "```"])

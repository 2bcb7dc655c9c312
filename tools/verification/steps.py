"""The steps of tools/verify_gpu.py: what runs, for which share of the time, and how it is told."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"

#: The steps by their names on the command line.
KEYS = tuple("tests operations scenes backends capture benchmark kernels growth".split())

#: pytest's exit code where no test was chosen.
NO_TESTS = 5

#: Processes that share the GPU where a step can use several; each has a context of its own there.
PROCESSES = max(1, min(10, (os.cpu_count() or 2) - 4))


@dataclass(frozen=True)
class Options:
    """What the command line of verify_gpu.py says about the steps."""

    device: str
    scale: float
    output_dir: Path
    detectron2_dir: Path | None = None
    mask2former_dir: Path | None = None
    tests: tuple[str, ...] = ("tests",)


@dataclass(frozen=True)
class Step:
    """One process.

    Attributes:
        key: on the command line.
        name: in the report.
        weight: its part of the time, beside those of the other steps; what it leaves over goes to
            the steps after it.
        command: what runs, from the seconds that it has.
        result: the Markdown file that it writes; default: what it prints.
        prints_markdown: whether what it prints is Markdown.
    """

    key: str
    name: str
    weight: float
    command: Callable[[float], list[str]]
    result: Path | None = None
    prints_markdown: bool = False


def steps(options: Options) -> list[Step]:
    """All steps in their order."""
    return [
        Step("tests", "tests marked gpu", 26, lambda _: _pytest("gpu", *options.tests)),
        Step("operations", "tests of the operations, whose kernels run on CUDA where it is",
             8, lambda _: _pytest("not gpu and not slow", "tests/ops")),
        Step("scenes", "random scenes against the oracles",
             12, lambda seconds: _random_scenes(options, seconds)),
        _calls_step("backends", "equality of the backends", 8, "equal_backends", options),
        _calls_step("capture", "no synchronisation, and CUDA graphs", 6, "capture", options),
        _benchmark_step("benchmark", "benchmark", 22, options, "operations", "share"),
        _calls_step("kernels", "kernels of each call", 6, "kernel_times", options),
        _benchmark_step(
            "growth", "growth and peak memory", 12, options, "peak_memory", "growth"
        ),
    ]  # fmt: skip


def _pytest(marker: str, *paths: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-m", marker, *paths, "-rfE", "--durations=10"]
    command += ["--disable-warnings", "-p", "verification.missing_libraries"]
    command += ["--continue-on-collection-errors", "-p", "no:cacheprovider"]
    if importlib.util.find_spec("xdist") is not None:
        command += ["-n", str(PROCESSES), "--dist", "worksteal"]
    return command


def _random_scenes(options: Options, seconds: float) -> list[str]:
    command = [sys.executable, str(TOOLS / "random_scenes.py"), "--device", options.device]
    in_time = max(0.75 * seconds - 5, 1)  # the processes start, and end the blocks that they have
    command += ["--scenes", "1000000", "--seconds", f"{in_time:.0f}"]
    return [*command, "--processes", str(PROCESSES), "--compiler", "eager"]


def _calls_step(key: str, name: str, weight: float, module: str, options: Options) -> Step:
    command = [sys.executable, "-m", f"verification.{module}"]
    command += ["--device", options.device, "--scale", str(options.scale)]
    return Step(key, name, weight, lambda _: command, prints_markdown=True)


def _benchmark_step(key: str, name: str, weight: float, options: Options, *subjects: str) -> Step:
    folder = options.output_dir / key
    command = [sys.executable, str(TOOLS / "benchmark.py"), "--output_dir", str(folder)]
    command += ["--device", options.device, "--scale", str(options.scale), "--only", *subjects]
    if options.detectron2_dir:
        command += ["--detectron2_dir", str(options.detectron2_dir)]
    if options.mask2former_dir:
        command += ["--mask2former_dir", str(options.mask2former_dir)]
    return Step(key, name, weight, lambda _: command, result=folder / "benchmark.md")

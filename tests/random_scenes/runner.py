"""Runs many scenes in blocks: `python tools/random_scenes.py --scenes 100000 --seed 1`.

The scenes depend on the seed alone, and so does the digest of the metrics' states and merged maps
that is printed at the end: it is the same for any number of processes, on any device.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice

import torch
from tqdm import tqdm

#: Mismatches that are printed.
MOST_LINES = 20


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 if anything does not agree."""
    parser = argparse.ArgumentParser(description="Checks random scenes against slow NumPy rules.")
    parser.add_argument("--scenes", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, default=1, help="what they are drawn from (1)")
    parser.add_argument("--scene", type=int, help="only this one, then its block")
    parser.add_argument("--seconds", type=float, help="start no further block after so many")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="where the package runs (cpu)")
    parser.add_argument("--compiler", default="inductor", help="torch.compile's backend (inductor)")
    parsed = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read at the first import of the package
    from tests.random_scenes.block import check_block
    from tests.random_scenes.scenes import BLOCK

    if parsed.scene is None:
        numbers = range(parsed.scenes)
        blocks = [list(numbers[start : start + BLOCK]) for start in numbers[::BLOCK]]
    else:
        start = parsed.scene // BLOCK * BLOCK
        blocks = [[parsed.scene], list(range(start, start + BLOCK))]
    check = partial(check_block, parsed.seed, device=parsed.device, compiler=parsed.compiler)
    begun = time.monotonic()
    reports = _reports(check, _in_time(blocks, parsed.seconds), parsed.processes)
    return _report(reports, sum(map(len, blocks)), parsed.seed, begun)


def _in_time(blocks: list[list[int]], seconds: float | None) -> Iterator[list[int]]:
    begun = time.monotonic()
    for block in blocks:
        if seconds is not None and time.monotonic() - begun >= seconds:
            return
        yield block


def _reports(check: Callable, blocks: Iterator[list[int]], processes: int) -> Iterator:
    """The reports in the order of the blocks; one block waits for each process, no more."""
    if processes == 1:
        yield from map(check, blocks)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        running = deque(pool.submit(check, block) for block in islice(blocks, 2 * processes))
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(check, block) for block in islice(blocks, 1))


def _report(reports: Iterable, num_scenes: int, seed: int, begun: float) -> int:
    counts: Counter = Counter()
    mismatches: list[tuple[int, str]] = []
    digest = hashlib.sha256()
    with tqdm(total=num_scenes, unit="scene", smoothing=0.05) as progress:
        for report in reports:
            counts += report.counts
            digest.update(report.digest)
            for number, what in report.mismatches[: max(0, MOST_LINES - len(mismatches))]:
                again = f"python tools/random_scenes.py --seed {seed} --scene {number}"
                progress.write(f"MISMATCH in scene {number}: {what}\n  again: {again}")
            mismatches += report.mismatches
            progress.update(report.num_scenes)
        num_scenes = int(progress.n)
    for what, count in sorted(counts.items()):
        print(f"{count:8d}  {what}")
    wrong = len({number for number, _ in mismatches})
    seconds = time.monotonic() - begun
    print(
        f"{num_scenes} scenes of seed {seed}: {wrong} with a mismatch, "
        f"digest {digest.hexdigest()[:16]}, {seconds:.0f} s"
    )
    return int(bool(mismatches))

"""Runs many cases, each within limits of time and memory: `python tools/fuzz.py --cases 20000`.

Worker processes run case after case and write a line of JSON for each into the log. One that
crashes, hangs or takes too much memory is a finding, and the next one goes on behind that case. The
same command goes on where an interrupted one stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: Limits of one case; a usual one takes 20 ms.
SECONDS = 30
MEGABYTES = 1500

START_SECONDS = 120

_OUT_OF_MEMORY = ("MemoryError", "bad_alloc", "can't allocate memory")


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 if any case is bad."""
    parser = argparse.ArgumentParser(description="Runs the tools on damaged files.")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--log", type=Path, default=Path("fuzz.jsonl"), help="(fuzz.jsonl)")
    parser.add_argument(
        "--only", type=int, nargs="*", help="numbers of the cases, for a closer look"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    if parsed.worker:
        _work(parsed.seed)
        return 0
    done = _read_log(parsed.log)
    numbers = parsed.only or range(parsed.cases)
    left = [number for number in numbers if number not in done or parsed.only]
    begun = time.monotonic()
    with parsed.log.open("a", buffering=1) as log, ThreadPoolExecutor(parsed.processes) as pool:
        if parsed.log.stat().st_size and not parsed.log.read_bytes().endswith(b"\n"):
            log.write("\n")  # an interrupted run may have cut a line off
        shares = [left[first :: parsed.processes] for first in range(parsed.processes)]
        list(pool.map(lambda share: _drive(parsed.seed, share, log.write), shares))
    return _report(_read_log(parsed.log), numbers, time.monotonic() - begun)


def _drive(seed: int, numbers: list[int], note: Callable[[str], None]) -> None:
    """Keeps a worker going until all its cases are done."""
    left = deque(numbers)
    while left:
        worker = _start_worker(seed, list(left))
        line = _next_line(worker, START_SECONDS)
        while line and left and (line := _next_line(worker, SECONDS)):
            note(line)
            left.popleft()
        if line is None:
            worker.kill()
        code = worker.wait()
        if left:
            detail = f"took more than {SECONDS} s" if line is None else f"ended with code {code}"
            entry = {"case": left.popleft(), "kind": "?", "outcome": "BAD", "detail": detail}
            note(json.dumps(entry) + "\n")


def _start_worker(seed: int, numbers: list[int]) -> subprocess.Popen:
    worker = subprocess.Popen(
        [sys.executable, str(Path(__file__)), "--seed", str(seed), "--worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        bufsize=0,
    )
    with worker.stdin:
        worker.stdin.write(json.dumps(numbers).encode())
    return worker


def _next_line(worker: subprocess.Popen, patience: float) -> str | None:
    """What it says next: an empty text if it has ended, None if it was silent for so long."""
    is_ready, _, _ = select.select([worker.stdout], [], [], patience)
    if not is_ready:
        return None
    line = worker.stdout.readline().decode()
    return line if line.endswith("\n") else ""


def _work(seed: int) -> None:
    sys.path.insert(0, str(ROOT))
    from tests.fuzz.case import Cases, Verdict

    numbers = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(Path(folder), seed)
        _limit_memory()
        print("ready", flush=True)
        for number in numbers:
            kind, verdict = cases.run(number)
            if any(sign in verdict.detail for sign in _OUT_OF_MEMORY):
                verdict = Verdict("BAD", f"more than {MEGABYTES} MB: {verdict.detail}")
            print(json.dumps({"case": number, "kind": kind, **vars(verdict)}), flush=True)


def _limit_memory() -> None:
    """So much more than what torch has mapped by now."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEGABYTES * 10**6
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _read_log(path: Path) -> dict[int, dict]:
    """What is known of each case; a line that was cut off is left out."""
    known = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        known[entry["case"]] = entry
    return known


def _report(known: dict[int, dict], numbers, seconds: float) -> int:
    entries = [known[number] for number in numbers if number in known]
    counts = Counter((entry["kind"], entry["outcome"]) for entry in entries)
    for (kind, outcome), count in sorted(counts.items()):
        print(f"{count:7d}  {kind}: {outcome}")
    for entry in entries:
        if entry["outcome"] == "BAD":
            print(f"BAD case {entry['case']} ({entry['kind']}): {entry['detail'][:500]}")
    bad = sum(entry["outcome"] == "BAD" for entry in entries)
    print(f"{len(entries)} cases, {bad} bad, {seconds:.0f} s")
    return int(bad > 0 or len(entries) < len(numbers))


if __name__ == "__main__":
    sys.exit(main())

"""Counts what each public call costs a GPU, without one, and estimates its time.

    python tools/gpu_budget.py --target 90

For every call at 1024 x 2048: launches, the bytes of the tensors that they are given beside those
that must move, and the host's time with the launches stubbed out. For every kernel: registers,
spills, instructions. From these follows an estimate of the time of a replayed graph and of a call,
beside the floor. It is an estimate:
loops are counted once and contention of atomics is left out, while each launch is taken to read and
write all that it is given; what a GPU measures is in the report of tools/verify_gpu.py.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

TOOLS = Path(__file__).resolve().parent
sys.path[:0] = [str(TOOLS), str(TOOLS.parent)]

from benchmarks.operations import CALLS  # noqa: E402
from benchmarks.scenes import Sizes  # noqa: E402
from benchmarks.table import show_seconds  # noqa: E402
from budget import counting, stub_driver  # noqa: E402
from budget.machine_code import MachineCode, machine_code  # noqa: E402

#: Small inputs on which torch's own operations take little: what remains is the host's work.
TINY = Sizes(16, 32, instances=8)
#: Seconds of a launch in a graph, however little it does.
LAUNCH = 1.5e-6


@dataclass(frozen=True)
class Card:
    """A GPU of a target: its name, bytes a second of a copy, and instructions a second of a warp.

    A multiprocessor issues four instructions of a warp in each cycle.
    """

    name: str
    bandwidth: float
    processors: int
    clock: float

    @property
    def issue_rate(self) -> float:
        """Instructions of a warp, a second."""
        return 4 * self.processors * self.clock


CARDS = {
    75: Card("T4", 0.27e12, 40, 1.59e9),
    80: Card("A100", 1.4e12, 108, 1.41e9),
    86: Card("A10", 0.5e12, 72, 1.69e9),
    90: Card("H100", 2.97e12, 132, 1.755e9),
    100: Card("B200", 7.0e12, 148, 1.85e9),
}


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", type=int, choices=CARDS, default=90, help="sm_ (90)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sides of the images (1)")
    parser.add_argument("--calls", nargs="+", choices=CALLS, default=list(CALLS))
    parser.add_argument(
        "--without",
        nargs="+",
        choices=("host", "kernels"),
        default=[],
        help="leave out what takes long",
    )
    parsed = parser.parse_args()
    torch.set_num_threads(1)
    log, card, codes = stub_driver.install(parsed.target), CARDS[parsed.target], {}
    estimate = f"estimate on a {card.name}: replayed / called"
    columns = ["call", "launches (Triton + torch)", "given / must move", "floor", "host", estimate]
    _print_row(columns)
    _print_row(["---"] * len(columns))
    for name in parsed.calls:
        make, sizes = CALLS[name]
        call = make(sizes.scaled(parsed.scale), torch.device("cpu"), backend="triton")
        count = counting.count(call.run, log)
        must_move = call.moved_bytes()
        host = replayed = None
        if "host" not in parsed.without:
            host = counting.host_seconds(make(TINY, torch.device("cpu"), backend="triton").run)
        if "kernels" not in parsed.without:
            for launch in count.launches:
                if launch.variant not in codes:
                    codes[launch.variant] = machine_code(launch.variant, parsed.target)
            replayed = estimated_seconds(count, codes, card)
        called = None if host is None or replayed is None else max(replayed, host)
        launches = f"{count.total} ({len(count.launches)} + {count.aten_launches})"
        num_bytes = f"{count.given / 1e6:.1f} / {must_move / 1e6:.1f} MB"
        estimated = f"{_show(replayed)} / {_show(called)}"
        _print_row(
            [name, launches, num_bytes, _show(must_move / card.bandwidth), _show(host), estimated]
        )
    if codes:
        print()
        _print_kernels(codes)
    return 0


def estimated_seconds(
    count: counting.Count, codes: dict[stub_driver.Variant, MachineCode], card: Card
) -> float:
    """Of a replayed graph: of each launch the largest of three times, for memory, issue, launch."""
    aten = max(count.aten_bytes / card.bandwidth, count.aten_launches * LAUNCH)
    return aten + sum(
        max(
            LAUNCH,
            launch.num_bytes / card.bandwidth,
            launch.num_warps * codes[launch.variant].instructions / card.issue_rate,
        )
        for launch in count.launches
    )


def _print_kernels(codes: dict[stub_driver.Variant, MachineCode]) -> None:
    _print_row(["kernel", "warps", "registers", "spills", "instructions", "a pixel or row"])
    _print_row(["---"] * 6)
    for variant, code in codes.items():
        a_pixel = "" if code.a_pixel is None else f"{code.a_pixel:.1f}"
        warps, spills = variant.options.num_warps, code.spills or "none"
        cells = (f"`{variant.name}`", warps, code.registers, spills, code.instructions, a_pixel)
        _print_row(map(str, cells))


def _show(seconds: float | None) -> str:
    return "not counted" if seconds is None else show_seconds(seconds)


def _print_row(cells) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Runs everything that needs a GPU, within the time that there is, and writes one report.

    python tools/verify_gpu.py --minutes 9 --detectron2_dir CLONE --mask2former_dir CLONE

In this order: the tests marked gpu, and those of the operations; random scenes on CUDA against the
oracles; both backends on the benchmark's scenes; sync-debug and CUDA graphs; the benchmark; the
kernels of each call with their times; growth and peak memory. Each is a process with a share of the
time: one that crashes is a line of the report. The report, verify_gpu.md, is written anew after
each, and says what did not fit in the time; what the steps print lies beside it.

It needs torch, triton, numpy, pillow, PyYAML, tqdm and pytest; pytest-xdist, torchvision and
pycocotools take part where they are installed. To try it without a GPU, small, with Triton's
interpreter in place of CUDA:

    python tools/verify_gpu.py --device cpu --scale 0.05 --minutes 3 --tests tests/specs
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

TOOLS = Path(__file__).resolve().parent
sys.path[:0] = [str(TOOLS), str(TOOLS.parent)]

from benchmark import absolute, clone_version, header  # noqa: E402
from benchmarks.on_device import Device  # noqa: E402
from verification.running import Run  # noqa: E402
from verification.steps import KEYS, Options, steps  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Runs all steps; 1 if one of them failed."""
    parsed = parse_arguments(arguments)
    options = Options(
        parsed.device,
        parsed.scale,
        parsed.output_dir,
        parsed.detectron2_dir,
        parsed.mask2former_dir,
        tuple(parsed.tests),
    )
    if parsed.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("no GPU here; --device cpu --scale 0.05 runs the steps small")
    versions = header(Device(torch.device(parsed.device), parsed.scale), runs_on_device=False)
    versions["commit"] = clone_version(TOOLS.parent)
    interpreted = {} if parsed.device.startswith("cuda") else {"TRITON_INTERPRET": "1"}
    chosen = [step for step in steps(options) if step.key in parsed.only]
    run = Run(chosen, parsed.output_dir, versions, interpreted)
    has_failed = run.within(60 * parsed.minutes)
    print((parsed.output_dir / "verify_gpu.md").read_text(encoding="utf-8"))
    return has_failed


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9.0, help="for all steps together (9)")
    parser.add_argument("--device", default="cuda", help="where the package runs (cuda)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the images' sides (1)")
    parser.add_argument("--detectron2_dir", type=absolute, help="a clone, for the benchmark")
    parser.add_argument("--mask2former_dir", type=absolute, help="a clone, for the benchmark")
    parser.add_argument("--tests", nargs="+", default=["tests"], help="paths for pytest (tests)")
    parser.add_argument("--only", nargs="+", choices=KEYS, default=KEYS, help="these steps")
    parser.add_argument("--output_dir", type=absolute, default=Path("verify_gpu").absolute())
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())

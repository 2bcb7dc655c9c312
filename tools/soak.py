"""Run eval_partpq on 100,000 images and watch it from outside: `python tools/soak.py -h`.

The images are a few dozen drawn streets of three sizes, linked under as many names as are asked
for. The process is the real command. Its memory, files, threads and children are read in /proc,
and how many images are done in its own progress bar. Linux only.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pps_torch.io.json_files import save_json
from pps_torch.pipelines import RunOptions, merge_to_panoptic, merge_to_pps, prepare_data
from pps_torch.pipelines.demonstration import DemoFolders
from pps_torch.specs import EvalSpec
from pps_torch.synthetic.street_files import write_streets

SPEC = "cpp_default"
SIZES = ((64, 128), (96, 192), (128, 256))
STREETS_PER_SIZE = 16

SECONDS_BETWEEN_SAMPLES = 0.2
WARM = 1_000  # images, before which caches and pools may fill
MOST_GROWTH = 0.05
MOST_SLOWING = 0.2  # of the processor time for an image, second half to first


class Sample(NamedTuple):
    """What is seen of the process at one moment: seconds since its start, images, bytes, counts."""

    seconds: float
    cpu_seconds: float
    images: int
    memory: int
    files: int
    threads: int
    children: int


def main() -> int:
    """Run and watch the command; return 1 if it fails, grows, slows down or leaves files open."""
    parser = argparse.ArgumentParser(description="Runs eval_partpq on many images and watches it.")
    parser.add_argument("--images", type=int, default=100_000, help="at least 10,000 (100,000)")
    parser.add_argument(
        "--tables", action="store_true", help="with --tables, whose memory is not judged"
    )
    parser.add_argument("--workers", type=int, help="as eval_partpq has it")
    parsed = parser.parse_args()
    if parsed.images < 10 * WARM:
        parser.error(f"--images: expected at least {10 * WARM}, found {parsed.images}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        command = [sys.executable, str(Path(__file__).with_name("eval_partpq.py")), SPEC]
        command += write_images(root, parsed.images)
        command += ["--device", "cpu", "--save_dir", str(root / "scores")]
        command += ["--tables"] if parsed.tables else []
        command += ["--workers", str(parsed.workers)] if parsed.workers else []
        print(shlex.join(command), flush=True)
        messages = root / "messages.txt"
        screen, terminal = pty.openpty()  # so that it shows a bar, and not a line each 10 %
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal)
        os.close(terminal)
        threading.Thread(target=_record, args=(screen, messages), daemon=True).start()
        samples = list(watch(process, messages))
        if process.returncode != 0:
            print(messages.read_text()[-2000:], file=sys.stderr)
            return 1
    return report(samples, parsed.images, judge_memory=not parsed.tables)


def write_images(root: Path, count: int) -> list[str]:
    """Draw streets and link them; return the arguments GT_DIR, PRED_DIR and IMAGES_JSON."""
    gt, pred = root / "gt", root / "pred"
    gt.mkdir()
    pred.mkdir()
    streets = [street for size in SIZES for street in _draw_streets(root, size)]
    images = []
    for number in range(count):
        uids, pps, (height, width) = streets[number % len(streets)]
        name = f"soak_{number:06d}"
        os.link(uids, gt / f"{name}_uids.tif")
        os.link(pps, pred / f"{name}_pps.png")
        images.append({"id": name, "file_name": f"{name}.png", "height": height, "width": width})
    save_json(root / "images.json", {"images": images})
    return [str(gt), str(pred), str(root / "images.json")]


def _draw_streets(root: Path, size: tuple[int, int]) -> Iterator[tuple[Path, Path, tuple]]:
    folders = DemoFolders(root / f"{size[0]}")
    options = RunOptions(device="cpu", quiet=True)
    write_streets(folders, EvalSpec.load(SPEC), size, STREETS_PER_SIZE)
    prepare_data(folders.gt, folders.root, "Cityscapes", options=options)
    merge_to_panoptic(
        *(SPEC, folders.coco_instances, folders.semantic, folders.panoptic, folders.images_json),
        options=options,
    )
    panoptic = (folders.panoptic / "panoptic", folders.panoptic / "panoptic.json")
    merge_to_pps(SPEC, *panoptic, folders.parts, folders.images_json, folders.pps, options=options)
    for uids, pps in zip(sorted(folders.gt.iterdir()), sorted(folders.pps.glob("*.png"))):
        yield uids, pps, size


def _record(screen: int, messages: Path) -> None:
    """Write what appears on a terminal to a file, until nobody has it open any more."""
    with messages.open("wb", buffering=0) as file, suppress(OSError):
        while content := os.read(screen, 1 << 16):
            file.write(content)


def watch(process: subprocess.Popen, messages: Path) -> Iterator[Sample]:
    """Yield what is seen of the process, several times a second, until it has ended."""
    begun = time.monotonic()
    while process.poll() is None:
        try:
            yield _sample(process.pid, time.monotonic() - begun, messages)
        except (FileNotFoundError, ProcessLookupError):  # it ended just now
            pass
        time.sleep(SECONDS_BETWEEN_SAMPLES)


def _sample(pid: int, seconds: float, messages: Path) -> Sample:
    process = Path(f"/proc/{pid}")
    fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    threads = list((process / "task").iterdir())
    return Sample(
        seconds,
        ticks / os.sysconf("SC_CLK_TCK"),
        _images_done(messages),
        int((process / "statm").read_text().split()[1]) * resource.getpagesize(),
        len(list((process / "fd").iterdir())),
        len(threads),
        sum(len((thread / "children").read_text().split()) for thread in threads),
    )


def _images_done(messages: Path) -> int:
    """Read how many images are done in the bar, `evaluating:  12%|#   | 1234/10000 [...]`."""
    with messages.open("rb") as file:
        file.seek(max(0, messages.stat().st_size - 1000))
        found = re.findall(rb"(\d+)/\d+ \[", file.read())
    return int(found[-1]) if found else 0


def report(samples: list[Sample], count: int, judge_memory: bool) -> int:
    """Print what was seen; return 1 if memory, time or open files grow."""
    marks = sorted({WARM, *(count * tenth // 10 for tenth in range(1, 10)), count - 1})
    stages = [_at(samples, mark) for mark in marks]
    print("\n| images | seconds | images/s | CPU ms an image | MB | files | threads | children |")
    print("|---|---|---|---|---|---|---|---|")
    for before, now in zip([_at(samples, 1), *stages], stages):
        rate = (now.images - before.images) / (now.seconds - before.seconds)
        print(
            f"| {now.images} | {now.seconds:.0f} | {rate:.0f} | {1000 * _cost(before, now):.2f} "
            f"| {now.memory / 1e6:.1f} | {now.files} | {now.threads} | {now.children} |"
        )
    first, second, last = stages[0], stages[1], stages[-1]
    highest = max(sample.memory for sample in samples if sample.images >= WARM)
    growth = highest / first.memory - 1
    half = _at(samples, count // 2)
    slowing = _cost(half, last) / _cost(first, half) - 1
    early = [sample for sample in samples if first.images <= sample.images <= second.images]
    late = [sample for sample in samples if stages[-2].images <= sample.images < count]
    left_open = [
        min(getattr(sample, what) for sample in late)
        - min(getattr(sample, what) for sample in early)
        for what in ("files", "threads", "children")
    ]
    per_image = (highest - first.memory) / (count - first.images)
    print(
        f"\nmemory after {first.images} images {first.memory / 1e6:.1f} MB, then at most "
        f"{highest / 1e6:.1f} MB: {100 * growth:+.2f} %, {per_image:+.0f} bytes an image"
    )
    print(f"processor time for an image, second half to first: {100 * slowing:+.1f} %")
    print("files, threads, children left open: {}, {}, {}".format(*left_open))
    is_flat = growth < MOST_GROWTH or not judge_memory
    return int(not is_flat or slowing >= MOST_SLOWING or max(left_open) > 0)


def _at(samples: list[Sample], images: int) -> Sample:
    """Find the first sample with so many images done."""
    return next((sample for sample in samples if sample.images >= images), samples[-1])


def _cost(one: Sample, other: Sample) -> float:
    """Seconds of processor time for an image between two samples."""
    return (other.cpu_seconds - one.cpu_seconds) / max(other.images - one.images, 1)


if __name__ == "__main__":
    sys.exit(main())

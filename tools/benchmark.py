"""Times pps_torch against what its users would otherwise call, and writes one table.

On a GPU, each operation on a street-like scene of 1024 x 2048, as called and replayed from a CUDA
graph, against its peer on the same GPU; how it grows; which share of a network's time it takes:

    python tools/benchmark.py --detectron2_dir CLONE --mask2former_dir CLONE

On the CPU, PartPQ, PQ and the commands on copies of one real image, against panoptic_parts:

    python tools/benchmark.py --image_dir DIR --reference_python PYTHON --reference_dir REPO

Images of 20,000 segments on the CPU:

    python tools/benchmark.py --only many

PQ from files that are drawn, and of their maps, against what is installed of its peers:

    python tools/benchmark.py --only drawn_files

The first two at once where both are given. DIR holds images.json (one image), its TIFF of uids
in any folder but expected/, and predictions/ (semantic/, parts/, instances_coco.json), for the
bundled spec cpp_default. PYTHON is an interpreter in which panoptic_parts and panopticapi can be
imported (its merge_to_pps needs NumPy < 2, the rest does not); REPO is a clone of panoptic_parts,
whose spec files are relative to it. torchmetrics and vernier take part where they are installed.
What cannot run is listed as "not run", with the reason. `--device cpu --scale 0.1` runs the rows of
the GPU small, without goals, to try them.

Outputs are compared before anything is timed; one that differs ends the run. Ratios and floors are
those of one run, as machines differ: a floor is the bytes that an operation must read and write
over the bandwidth of a copy in the same run. Ratios take the call, multiples of the floor the
replay. PPS_TORCH_BACKEND=torch times the operations without Triton. Writes benchmark.md and
benchmark.json, anew after each row.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

import torch
from benchmarks import drawn_files, growth, in_memory, many_segments, on_device, on_files
from benchmarks.copied_images import CopiedImages
from benchmarks.on_device import Device
from benchmarks.reference import Reference
from benchmarks.table import Difference, Measurement, Report, Row
from tqdm import tqdm

DEVICE_SUBJECTS = {
    "operations": on_device.rows_on_device,
    "peak_memory": on_device.peak_memory,
    "share": on_device.share_of_forward,
    "growth": growth.growth,
}
SUBJECTS = ("memory", "files", *DEVICE_SUBJECTS)
FURTHER_SUBJECTS = ("many", "drawn_files")  # only where --only names them: they need only time
PACKAGES = ("torch", "triton", "numpy", "pillow", "torchvision", "torchmetrics", "vernier")
PACKAGES += ("zlib-ng", "hotcoco")


def main() -> int:
    """Run all rows and write the tables; 1 if one of them failed."""
    arguments = parse_arguments()
    device, obstacle = make_device(arguments)
    runs_on_device = not obstacle and not DEVICE_SUBJECTS.keys().isdisjoint(arguments.only)
    report = Report(arguments.output_dir, header(device, runs_on_device))
    with tempfile.TemporaryDirectory() as folder:
        rows = measurements(arguments, device, obstacle, Path(folder))
        has_failed = run(rows, report)
    print(report.markdown())
    return int(has_failed)


def run(rows: list[Measurement], report: Report) -> bool:
    """Add all rows to the report -> whether one failed; outputs that differ end the run."""
    has_failed = False
    for measurement in tqdm(rows, desc="measuring", unit="row"):
        try:
            if measurement.obstacle:
                report.add([Row(measurement.name, note=f"not run: {measurement.obstacle}")])
            else:
                report.add(measurement.run())
        except Difference as difference:
            sys.exit(f"{measurement.name}: the outputs differ: {difference}")
        except Exception as error:  # the other rows are still worth their time
            traceback.print_exc()
            report.add([Row(measurement.name, note=f"failed: {type(error).__name__}")])
            has_failed = True
    return has_failed


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image_dir", type=absolute)
    parser.add_argument("--reference_python", type=interpreter)
    parser.add_argument("--reference_dir", type=absolute)
    parser.add_argument("--detectron2_dir", type=absolute)
    parser.add_argument("--mask2former_dir", type=absolute)
    parser.add_argument("--device", help="of the operations; default: cuda, where there is a GPU")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sides of their images")
    parser.add_argument("--copies", type=int, nargs=2, default=[20, 200], metavar=("FEW", "MANY"))
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument(
        "--only", nargs="+", choices=(*SUBJECTS, *FURTHER_SUBJECTS), default=SUBJECTS
    )
    parser.add_argument("--output_dir", type=Path, default=Path("."))
    return parser.parse_args()


def absolute(path: str) -> Path:
    """A path that holds in another working directory too; links are kept, as venvs need them."""
    return Path(os.path.abspath(path))


def interpreter(name: str) -> Path:
    """A Python by its path or by its name."""
    return absolute(shutil.which(name) or name)


def make_device(arguments: argparse.Namespace) -> tuple[Device, str]:
    """Where the operations run, and why they cannot if there is no such place."""
    chosen = arguments.device or ("cuda" if torch.cuda.is_available() else None)
    device = Device(
        torch.device(chosen or "cpu"),
        arguments.scale,
        arguments.rounds,
        arguments.detectron2_dir,
        arguments.mask2former_dir,
        Reference(arguments.reference_python, arguments.reference_dir),
    )
    return device, "" if chosen else "no GPU here; --device cpu --scale 0.1 runs it small"


def measurements(
    arguments: argparse.Namespace, device: Device, obstacle: str, folder: Path
) -> list[Measurement]:
    """What the command line asks for, each with what stands in its way."""
    images, no_images = None, "--image_dir is not given"
    if arguments.image_dir is not None:
        images, no_images = CopiedImages(folder, arguments.image_dir), ""
    reference = device.reference
    found = []
    for subject in arguments.only:
        if subject == "memory":
            rows = in_memory.rows_in_memory(images, reference, arguments.rounds)
        elif subject == "many":
            found += many_segments.many_segments()
            continue
        elif subject == "drawn_files":
            found += drawn_files.rows_on_drawn_files(folder)
            continue
        elif subject == "files":
            rows = on_files.rows_on_files(images, reference, arguments.copies)
        else:
            rows = DEVICE_SUBJECTS[subject](device)
        why_not = obstacle if subject in DEVICE_SUBJECTS else no_images
        found += [replace(row, obstacle=why_not or row.obstacle) for row in rows]
    return found


def header(device: Device, runs_on_device: bool) -> dict[str, str]:
    """The date, the machine, versions, and the command."""
    found = {
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["python", *sys.argv]),
        "cpu": f"{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start",
    }
    if torch.cuda.is_available():
        found["gpu"] = f"{torch.cuda.get_device_name()}, driver {driver_version()}"
    if runs_on_device:
        bandwidth = f"{device.bandwidth / 1e9:,.0f} GB/s read and written by a copy"
        found["operations on"] = f"{device.device}, scale {device.scale:g}, {bandwidth}"
    versions = {"python": platform.python_version(), **dict(filter(None, map(version, PACKAGES)))}
    folders = (device.detectron2_dir, device.mask2former_dir, device.reference.folder)
    if clones := [clone_version(folder) for folder in folders if folder is not None]:
        found["clones"] = ", ".join(clones)
    found["versions"] = ", ".join(f"{name} {number}" for name, number in versions.items())
    found["backend"] = os.environ.get("PPS_TORCH_BACKEND", "auto")
    return found


def version(package: str) -> tuple[str, str] | None:
    """Name and version of a package, if it is installed."""
    try:
        return package, importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def clone_version(folder: Path) -> str:
    """The folder's name, and its commit where it is a clone."""
    command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
    if not (folder / ".git").exists():
        return folder.name
    return f"{folder.name} {subprocess.run(command, capture_output=True, text=True).stdout.strip()}"


def driver_version() -> str:
    """The NVIDIA driver's, as nvidia-smi says it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.split()[0]
    except (OSError, IndexError):
        return "unknown"


def cpu_name() -> str:
    """The processor as Linux calls it, else as Python does."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


if __name__ == "__main__":
    sys.exit(main())

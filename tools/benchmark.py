"""Times pps_torch and, where they can be run, the references, on copies of one real image.

    python tools/benchmark.py --image_dir DIR --reference_python PYTHON --reference_dir REPO

DIR holds images.json (one image), gt/ or gtFinePanopticParts/ (TIFF of uids) and predictions/
(semantic/, parts/, instances_coco.json), for the bundled spec cpp_default. PYTHON is an interpreter
in which panoptic_parts and panopticapi can be imported (NumPy < 2); REPO is a clone of
panoptic_parts, whose spec files are relative to it. Without them the references' rows say "not
run". Outputs are compared before anything is timed; ratios are those of one run, as machines are
noisy. vernier, a Rust evaluator of PQ, takes part where it is installed. Writes benchmark.md and
benchmark.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import torch
from tqdm import tqdm

from pps_torch import (
    EvalSpec,
    PanopticQuality,
    PanopticSegmentation,
    PanopticTarget,
    PartPanopticQuality,
    decode_uids,
    ids_to_rgb,
)
from pps_torch.io.image_list import ImageList
from pps_torch.io.images import read_id_map, read_pps, read_rgb_ids
from pps_torch.io.pairing import find_files
from pps_torch.pipelines.eval_partpq import eval_partpq
from pps_torch.pipelines.run_options import RunOptions

TOOLS = Path(__file__).parent
SPEC = EvalSpec.load("cpp_default")
REFERENCE_SPEC = "panoptic_parts/specs/eval_specs/ppq_cpp_19_23_cvpr21_default_evalspec.yaml"


@dataclass
class Row:
    """One measurement; seconds are medians, ``ratio`` is the reference's over ours."""

    name: str
    ours: float
    ours_p20: float
    ours_p80: float
    against: str
    reference: float | None
    ratio: float | None
    goal: str


@dataclass
class Reference:
    """Where the references run."""

    python: Path | None
    folder: Path | None

    def __bool__(self) -> bool:
        return self.python is not None and self.folder is not None

    def call(self, *arguments: object) -> str:
        """Runs tools/benchmark_reference.py in the reference's interpreter -> what it prints."""
        command = [self.python, TOOLS / "benchmark_reference.py", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"the reference failed: {' '.join(map(str, arguments))}\n{done.stderr}")
        return done.stdout


def main() -> None:
    """Runs all rows and writes the tables."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        images = CopiedImages(Path(folder), arguments.image_dir)
        reference = Reference(arguments.reference_python, arguments.reference_dir)
        in_memory = [
            lambda: partpq_of_image(images, reference, arguments.rounds),
            lambda: pq_of_maps(images, reference, arguments.rounds),
        ]
        of_files = [
            *(
                partial(whole_commands, tool, images, reference, *arguments.copies)
                for tool in ("merge_to_panoptic", "merge_to_pps")
            ),
            lambda: evaluation_rate(images, 100),
            lambda: peak_memory(images),
        ]
        measurements = {None: in_memory + of_files, "memory": in_memory, "files": of_files}
        rows = []
        for measure in tqdm(measurements[arguments.only], desc="measuring", unit="row"):
            rows += measure()
    write_tables(rows, arguments.output_dir)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image_dir", type=Path, required=True)
    parser.add_argument("--reference_python", type=Path)
    parser.add_argument("--reference_dir", type=Path)
    parser.add_argument("--copies", type=int, nargs=2, default=[20, 200], metavar=("FEW", "MANY"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=("memory", "files"), help="maps in memory, or files")
    parser.add_argument("--output_dir", type=Path, default=Path("."))
    return parser.parse_args()


class CopiedImages:
    """One image and its predictions, copied as often as a measurement needs it."""

    def __init__(self, folder: Path, image_dir: Path) -> None:
        self.folder = folder
        self.source = image_dir.resolve()
        self.image = json.loads((self.source / "images.json").read_text())["images"][0]
        expected = self.source / "expected"
        self.gt_file = next(
            path
            for path in self.source.rglob(f"*{self.image['id']}*.tif")
            if expected not in path.parents
        )
        self.size = (self.image["height"], self.image["width"])

    def make(self, copies: int) -> Path:
        """A data set of that many copies, with our own merged panoptic and PPS maps."""
        root = self.folder / str(copies)
        if root.exists():
            return root
        predictions = self.source / "predictions"
        instances = json.loads((predictions / "instances_coco.json").read_text())
        sources = {
            "gt": self.gt_file,
            "semantic": next((predictions / "semantic").glob("*.png")),
            "parts": next((predictions / "parts").glob("*.png")),
        }
        images, copied_instances = [], []
        for number in range(copies):
            image_id = f"copy_{number:06d}"
            images.append({**self.image, "id": image_id, "file_name": f"{image_id}.png"})
            copied_instances += [{**instance, "image_id": image_id} for instance in instances]
            for name, source in sources.items():
                (root / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(source, root / name / f"{image_id}{source.suffix}")
        (root / "images.json").write_text(json.dumps({"images": images}))
        (root / "instances.json").write_text(json.dumps(copied_instances))
        for tool in ("merge_to_panoptic", "merge_to_pps"):
            subprocess.run(our_command(tool, root, root / tool), check=True)
        return root


def our_command(tool: str, root: Path, output: Path, *options: str) -> list[str]:
    """One of our tools on a data set of copies."""
    return [
        sys.executable,
        str(TOOLS / f"{tool}.py"),
        *tool_arguments(tool, "cpp_default", root, output, root / "merge_to_panoptic"),
        "--device=cpu",
        "--quiet",
        *options,
    ]


def tool_arguments(tool: str, spec: str, root: Path, output: Path, panoptic: Path) -> list[str]:
    """The arguments that our tools and panoptic_parts' have in common."""
    arguments = {
        "merge_to_panoptic": [
            spec,
            root / "instances.json",
            root / "semantic",
            output,
            root / "images.json",
        ],
        "merge_to_pps": [
            spec,
            panoptic / "panoptic",
            panoptic / "panoptic.json",
            root / "parts",
            root / "images.json",
            output,
        ],
        "eval_partpq": [spec, root / "gt", root / "merge_to_pps", root / "images.json"],
    }
    return list(map(str, arguments[tool]))


def partpq_of_image(images: CopiedImages, reference: Reference, rounds: int) -> list[Row]:
    """PartPQ of one image: the update alone, and with decoding."""
    root = images.make(1)
    gt_file, pred_file = root / "gt/copy_000000.tif", root / "merge_to_pps/copy_000000.png"
    metric = PartPanopticQuality(SPEC)

    def decode() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(read_pps(pred_file)), torch.from_numpy(read_id_map(gt_file))

    maps = decode()
    metric.update(*maps)
    seconds = None
    if reference:
        found = json.loads(reference.call("partpq", REFERENCE_SPEC, gt_file, pred_file))
        compare_counts(metric.compute().per_class, found["counts"])
        seconds = found["seconds"]
    against = "panoptic_parts, with decoding"
    in_memory = timed(lambda: metric.reset().update(*maps), rounds)
    decoded = timed(lambda: metric.reset().update(*decode()), rounds)
    return [
        row("PartPQ of the image, maps in memory", in_memory, against, seconds, ">= 200x"),
        row("PartPQ of the image, with decoding", decoded, against, seconds, ">= 200x"),
    ]


def pq_of_maps(images: CopiedImages, reference: Reference, rounds: int) -> list[Row]:
    """PQ of a pair of panoptic maps in memory."""
    root = images.make(1)
    pred_ids = torch.from_numpy(read_rgb_ids(root / "merge_to_panoptic/panoptic/copy_000000.png"))
    content = json.loads((root / "merge_to_panoptic/panoptic.json").read_text())
    pred_info = content["annotations"][0]["segments_info"]
    sids, iids, _ = decode_uids(torch.from_numpy(read_id_map(root / "gt/copy_000000.tif")))
    is_evaluated = torch.isin(sids, torch.tensor(SPEC.eval_sids))
    gt_ids = torch.where(is_evaluated, sids * 1000 + iids.clamp(min=0), 0)
    numbers, areas = gt_ids.unique(return_counts=True)
    gt_info = [
        {
            "id": number,
            "category_id": number // 1000,
            "iscrowd": int(number % 1000 == 0 and number // 1000 in SPEC.things),
            "area": area,
        }
        for number, area in zip(numbers.tolist(), areas.tolist())
        if number
    ]
    pred = PanopticSegmentation.from_segments(pred_ids, pred_info)
    target = PanopticTarget.from_segments(gt_ids, gt_info)
    metric = PanopticQuality(SPEC).update(pred, target)
    seconds = None
    if reference:
        maps = {"pred": ids_to_rgb(pred_ids).numpy(), "gt": ids_to_rgb(gt_ids).numpy()}
        np.savez(root / "maps.npz", **{name: rgb.astype(np.uint32) for name, rgb in maps.items()})
        common = {"image_id": 1, "file_name": "map"}
        annotations = {
            "categories": SPEC.categories,
            "gt": {**common, "segments_info": gt_info},
            "pred": {**common, "segments_info": pred_info},
        }
        (root / "annotations.json").write_text(json.dumps(annotations))
        files = (root / "maps.npz", root / "annotations.json")
        found = json.loads(reference.call("pq", *files, rounds))
        compare_counts(metric.compute().per_class, found["counts"])
        seconds = found["seconds"]

    def from_ids() -> None:
        pred = PanopticSegmentation.from_segments(pred_ids, pred_info)
        metric.reset().update(pred, PanopticTarget.from_segments(gt_ids, gt_info))

    update = timed(lambda: metric.reset().update(pred, target), rounds)
    read_and_update = timed(from_ids, rounds)
    building, kernel = vernier_seconds(metric, pred_ids, pred_info, gt_ids, gt_info, rounds)
    against = "panopticapi's matching, RGB maps in memory"
    return [
        row("PQ of two maps, as tensors", update, against, seconds, ">= 3x"),
        row("PQ of two maps, from id maps", read_and_update, against, seconds, ""),
        row("PQ of two maps, as tensors", update, "vernier's kernel", kernel, "> 1x"),
        row("PQ of two maps, from id maps", read_and_update, "vernier, from id maps", building, ""),
    ]


def vernier_seconds(
    metric: PanopticQuality,
    pred_ids: torch.Tensor,
    pred_info: list[dict],
    gt_ids: torch.Tensor,
    gt_info: list[dict],
    rounds: int,
) -> tuple[list[float] | None, list[float] | None]:
    """Seconds of the Rust evaluator with and without building its data set; None without it."""
    try:
        from vernier import panoptic
    except ImportError:
        return None, None
    maps = [ids.numpy().astype(np.uint32) for ids in (gt_ids, pred_ids)]
    infos = [json.dumps({1: info}).encode() for info in (gt_info, pred_info)]
    categories = json.dumps(SPEC.categories).encode()
    evaluator = panoptic.Evaluator(parity_mode="strict")

    def build() -> tuple:
        gt = panoptic.Dataset.from_arrays({1: maps[0]}, infos[0], categories)
        return gt, panoptic.Predictions.from_arrays({1: maps[1]}, infos[1])

    built = build()
    found = evaluator.evaluate(*built).pq
    if abs(found - metric.compute().summary["All"]["PQ"]) > 1e-9:
        sys.exit(f"vernier: PQ {found}, ours {metric.compute().summary}")
    from_maps = timed(lambda: evaluator.evaluate(*build()), rounds)
    return from_maps, timed(lambda: evaluator.evaluate(*built), rounds)


def whole_commands(
    tool: str, images: CopiedImages, reference: Reference, few: int, many: int
) -> list[Row]:
    """A whole command, start-up and files included, and what one more image costs."""
    rows, ours, theirs = [], {}, {}
    against = "panoptic_parts' command"
    for copies in (few, many):
        root = images.make(copies)
        ours[copies], theirs[copies] = command_seconds(tool, root, reference)
        name = f"{tool}, whole command, {copies} images"
        rows.append(row(name, ours[copies], against, theirs[copies], ">= 4x"))
    one_more = [(b - a) / (many - few) for a, b in zip(ours[few], ours[many])]
    reference_one_more = None
    if reference:
        reference_one_more = [(theirs[many][0] - theirs[few][0]) / (many - few)]
    name = f"{tool}, each image beyond {few}"
    return [*rows, row(name, one_more, against, reference_one_more, ">= 4x")]


def command_seconds(
    tool: str, root: Path, reference: Reference
) -> tuple[list[float], list[float] | None]:
    """Seconds of our command and of the reference's on a data set, outputs compared first."""
    seconds = None
    if reference:
        output = root / f"{tool}_reference"
        panoptic = root / "merge_to_panoptic"
        arguments = tool_arguments(tool, REFERENCE_SPEC, root, output, panoptic)
        begin = time.perf_counter()
        reference.call("run", f"panoptic_parts.merging.{tool}", *arguments)
        seconds = [time.perf_counter() - begin]
        compare_folders(tool, root / tool, output)
    command = our_command(tool, root, root / f"{tool}_again", "--overwrite")
    return timed(lambda: subprocess.run(command, check=True), 3), seconds


def evaluation_rate(images: CopiedImages, copies: int) -> list[Row]:
    """eval_partpq against only decoding the same files with the same workers."""
    root = images.make(copies)
    options = RunOptions(device="cpu", quiet=True)
    listed = ImageList.load(root / "images.json")
    gt_files = find_files(root / "gt", listed.ids, (".tif",), "ground truth")
    pred_files = find_files(root / "merge_to_pps", listed.ids, (".png",), "prediction")

    def decode(image) -> None:
        read_id_map(gt_files[image.id], image.size)
        read_pps(pred_files[image.id], image.size)

    def evaluate() -> None:
        folders = (root / "gt", root / "merge_to_pps", root / "images.json")
        eval_partpq("cpp_default", *folders, options=options)

    def decode_all() -> None:
        list(options.map_images(decode, listed.images, ""))

    pairs = [(timed(decode_all, 1)[0], timed(evaluate, 1)[0]) for _ in range(5)]
    decoding, evaluating = map(list, zip(*pairs))
    against = "decoding the files only"
    name = f"eval_partpq of {copies} images, in process"
    return [row(name, evaluating, against, decoding, ">= 0.6x")]


def peak_memory(images: CopiedImages) -> list[Row]:
    """Peak memory of the tools, in MiB, for few and for many images."""
    rows = []
    for tool in ("merge_to_panoptic", "merge_to_pps", "eval_partpq"):
        few, many = (
            peak_mib(our_command(tool, root, root / f"{tool}_memory", "--overwrite"))
            for root in (images.make(10), images.make(100))
        )
        against = "the same with 10 images"
        rows.append(
            Row(
                f"peak MiB of {tool}, 100 images",
                many,
                many,
                many,
                against,
                few,
                few / many,
                "about 1x",
            )
        )
    return rows


def peak_mib(command: list[str]) -> float:
    """Peak resident memory of a command, measured by a process of its own."""
    program = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=-3);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def timed(function: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of each of ``rounds`` calls, after one that is not counted."""
    function()
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return seconds


def row(
    name: str, ours: list[float], against: str, reference: list[float] | None, goal: str
) -> Row:
    """A row from raw seconds."""
    p20, median, p80 = np.percentile(ours, (20, 50, 80)).tolist()
    theirs = None if reference is None else statistics.median(reference)
    ratio = None if theirs is None else theirs / median
    return Row(name, median, p20, p80, against, theirs, ratio, goal)


def compare_counts(per_class: dict, counts: dict) -> None:
    """Stops unless TP, FP and FN are equal and IoU sums agree to 1e-9."""
    for category_id, (iou, tp, fp, fn) in counts.items():
        ours = per_class[int(category_id)]
        if (ours["tp"], ours["fp"], ours["fn"]) != (tp, fp, fn) or abs(ours["iou"] - iou) > 1e-9:
            sys.exit(f"class {category_id}: ours {ours}, reference {[iou, tp, fp, fn]}")


def compare_folders(tool: str, ours: Path, theirs: Path) -> None:
    """Stops unless the maps are equal: pixels for PPS, segments up to their ids for panoptic."""
    if tool == "merge_to_pps":
        for path in sorted(theirs.glob("*.png")):
            if not np.array_equal(read_pps(path), read_pps(ours / path.name)):
                sys.exit(f"{path.name}: the maps differ")
        return
    annotations = [
        {
            entry["file_name"]: entry["segments_info"]
            for entry in json.loads((folder / "panoptic.json").read_text())["annotations"]
        }
        for folder in (ours, theirs)
    ]
    for name in annotations[1]:
        numbered = []
        for folder, infos in zip((ours, theirs), annotations):
            ids = torch.from_numpy(read_rgb_ids(folder / "panoptic" / name))
            numbered.append(PanopticSegmentation.from_segments(ids, infos[name]))
        same_map = torch.equal(numbered[0].panoptic_seg, numbered[1].panoptic_seg)
        if not same_map or not torch.equal(numbered[0].category_ids, numbered[1].category_ids):
            sys.exit(f"{name}: the segments differ")


def write_tables(rows: list[Row], folder: Path) -> None:
    """Prints the table, and writes it as Markdown and JSON."""
    machine = {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
    lines = [
        ", ".join(f"{name} {value}" for name, value in machine.items()),
        "",
        "| what | median | p20 | p80 | against | reference | ratio | goal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        is_memory = r.name.startswith("peak")
        show = (lambda value: f"{value:.0f} MiB") if is_memory else milliseconds
        reference = "not run" if r.reference is None else show(r.reference)
        ratio = "not run" if r.ratio is None else f"{r.ratio:.2f}x"
        cells = [r.name, *map(show, (r.ours, r.ours_p20, r.ours_p80)), r.against, reference, ratio]
        lines.append(f"| {' | '.join([*cells, r.goal])} |")
    text = "\n".join(lines) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.md").write_text(text)
    (folder / "benchmark.json").write_text(
        json.dumps({"machine": machine, "rows": [asdict(r) for r in rows]}, indent=1)
    )
    print(text)


def milliseconds(seconds: float) -> str:
    """Seconds as ms with three digits."""
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def cpu_name() -> str:
    """The processor as Linux calls it, else as Python does."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


if __name__ == "__main__":
    main()

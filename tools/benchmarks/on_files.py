"""Our commands on files, against panoptic_parts' commands and against decoding alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.copied_images import CopiedImages, our_command, tool_arguments
from benchmarks.reference import SPEC as REFERENCE_SPEC
from benchmarks.reference import Reference
from benchmarks.table import Difference, Goal, Measurement, Row, Spread
from benchmarks.timing import host_seconds
from pps_torch import PanopticSegmentation
from pps_torch.io.image_list import ImageList
from pps_torch.io.images import read_id_map, read_rgb, read_rgb_ids
from pps_torch.io.pairing import find_files
from pps_torch.pipelines import RunOptions, eval_partpq

NAMES = (
    "merge_to_panoptic",
    "merge_to_pps",
    "eval_partpq of 100 images",
    "peak memory of the tools",
)


def rows_on_files(
    images: CopiedImages, reference: Reference, copies: tuple[int, int]
) -> list[Measurement]:
    """Whole commands, the rate of the evaluation, and peak memory."""
    commands = [partial(whole_commands, tool, images, reference, *copies) for tool in NAMES[:2]]
    rest = [partial(evaluation_rate, images, 100), partial(peak_memory, images)]
    return [Measurement(name, run) for name, run in zip(NAMES, (*commands, *rest))]


def whole_commands(
    tool: str, images: CopiedImages, reference: Reference, few: int, many: int
) -> list[Row]:
    """A whole command, start-up and files included, and what one more image costs."""
    rows, ours, theirs = [], {}, {}
    peer, goal = "panoptic_parts' command", Goal(at_least=4)
    for copies in (few, many):
        root = images.make(copies)
        ours[copies], theirs[copies] = command_seconds(tool, root, reference)
        name = f"{tool}, whole command, {copies} images"
        spreads = (seconds and Spread.of(seconds) for seconds in (ours[copies], theirs[copies]))
        rows.append(Row(name, **dict(zip(("ours", "theirs"), spreads)), peer=peer, goal=goal))
    one_more = Spread.of([(b - a) / (many - few) for a, b in zip(ours[few], ours[many])])
    reference_one_more = None
    if reference:
        reference_one_more = Spread.of([(theirs[many][0] - theirs[few][0]) / (many - few)])
    name = f"{tool}, each image beyond {few}"
    return [*rows, Row(name, ours=one_more, peer=peer, theirs=reference_one_more, goal=goal)]


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
    return host_seconds(lambda: subprocess.run(command, check=True), 3), seconds


def evaluation_rate(images: CopiedImages, copies: int) -> list[Row]:
    """eval_partpq against only decoding the same files with the same workers."""
    root = images.make(copies)
    options = RunOptions(device="cpu", quiet=True)
    listed = ImageList.load(root / "images.json")
    gt_files = find_files(root / "gt", listed.ids, (".tif",), "ground truth")
    pred_files = find_files(root / "merge_to_pps", listed.ids, (".png",), "prediction")

    def decode(image) -> None:
        read_id_map(gt_files[image.id], image.size)
        read_rgb(pred_files[image.id], image.size)

    def evaluate() -> None:
        folders = (root / "gt", root / "merge_to_pps", root / "images.json")
        eval_partpq("cpp_default", *folders, options=options)

    def decode_all() -> None:
        list(options.map_images(decode, listed.images, ""))

    pairs = [(host_seconds(decode_all, 1)[0], host_seconds(evaluate, 1)[0]) for _ in range(5)]
    decoding, evaluating = map(list, zip(*pairs))
    return [
        Row(
            f"eval_partpq of {copies} images, in process",
            ours=Spread.of(evaluating),
            peer="decoding the files only",
            theirs=Spread.of(decoding),
            goal=Goal(at_least=0.6),
        )
    ]


def peak_memory(images: CopiedImages) -> list[Row]:
    """Peak memory of the tools, in MiB, for few and for many images."""
    rows = []
    for tool in ("merge_to_panoptic", "merge_to_pps", "eval_partpq"):
        few, many = (
            peak_mib(our_command(tool, root, root / f"{tool}_memory", "--overwrite"))
            for root in (images.make(10), images.make(100))
        )
        rows.append(
            Row(
                f"peak of {tool}, 100 images",
                ours=Spread.of([many]),
                peer="the same with 10 images",
                theirs=Spread.of([few]),
                goal=Goal(at_least=0.9),
                unit="MiB",
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


def compare_folders(tool: str, ours: Path, theirs: Path) -> None:
    """Stop unless the maps are equal: pixels for PPS, segments up to their ids for panoptic."""
    if tool == "merge_to_pps":
        for path in sorted(theirs.glob("*.png")):
            if not np.array_equal(read_rgb(path), read_rgb(ours / path.name)):
                raise Difference(f"{path.name}: the maps differ")
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
            raise Difference(f"{name}: the segments differ")

"""PQ of files that the benchmark draws itself, and of their maps, against its peers."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import PIL.Image
import torch

from benchmarks.table import Difference, Goal, Measurement, Row, Spread
from benchmarks.timing import seconds_of
from benchmarks.vernier import Vernier
from pps_torch import EvalSpec, PanopticQuality, PanopticSegmentation, PanopticTarget
from pps_torch.io import read_rgb_ids
from pps_torch.pipelines import RunOptions, eval_pq, merge_to_panoptic, prepare_data
from pps_torch.synthetic.street_files import StreetFolders, write_streets

SPEC = "cpp_default"

#: Height, width, how many different images are drawn, and how many there are with copies.
SIZES = ((427, 640, 20, 200), (1024, 2048, 5, 20))
ROUNDS = 5

#: Who writes the PNGs. Pillow, by which panopticapi writes them, chooses for each row how to store
#: it, which takes longer to decode than rows that are all differences from the one above, as here.
WRITERS = ("pps_torch", "Pillow")

Counts = dict[int, tuple[float, int, int, int]]


class DrawnFiles:
    """Ground truth and predictions of drawn streets as COCO panoptic files.

    Args:
        root: where they go.
        size: (height, width).
        drawn, total: how many images are drawn, and how many the JSON files list; each PNG is read
            anew for each image that has it.
        writer: one of `WRITERS`.
    """

    def __init__(
        self, root: Path, size: tuple[int, int], drawn: int, total: int, writer: str
    ) -> None:
        streets, options = StreetFolders(root), RunOptions(device="cpu", quiet=True)
        write_streets(streets, EvalSpec.load(SPEC), size, drawn)
        prepare_data(streets.gt, root, "Cityscapes", options=options)
        inputs = (streets.coco_instances, streets.semantic, root / "merged", root / "images.json")
        merge_to_panoptic(SPEC, *inputs, options=options)
        self.total = total
        self.folders = streets.gt_panoptic, root / "merged/panoptic"
        if writer == "Pillow":
            for folder in self.folders:
                for png in folder.glob("*.png"):
                    PIL.Image.open(png).save(png)
        self.jsons = root / "gt.json", root / "pred.json"
        contents = [
            json.loads(path.read_text())
            for path in (streets.gt_panoptic_json, root / "merged/panoptic.json")
        ]
        self.categories = contents[0]["categories"]
        self.annotations: list[list[dict[str, Any]]] = []
        for path, content in zip(self.jsons, contents):
            images, annotations = (
                [
                    {**content[key][number % drawn], name: number + 1}  # ids that are numbers
                    for number in range(total)
                ]
                for key, name in (("images", "id"), ("annotations", "image_id"))
            )
            self.annotations.append(annotations)
            path.write_text(json.dumps({**content, "images": images, "annotations": annotations}))


def rows_on_drawn_files(folder: Path) -> list[Measurement]:
    """PQ from files at both sizes, of PNGs by both writers, and PQ of the maps in memory."""
    from_files = [
        Measurement(
            f"PQ from files, {height} x {width}, PNGs by {writer}",
            partial(pq_from_files, folder, (height, width), *numbers, writer),
        )
        for height, width, *numbers in SIZES
        for writer in WRITERS
    ]
    in_memory = [
        Measurement(
            f"PQ in memory, {height} x {width}",
            partial(pq_in_memory, folder / f"maps_{height}", (height, width), drawn),
        )
        for height, width, drawn, _ in SIZES
    ]
    return [*from_files, *in_memory]


def pq_from_files(
    folder: Path, size: tuple[int, int], drawn: int, total: int, writer: str
) -> list[Row]:
    """`eval_pq` with one worker and with two, and each peer, in turns."""
    height, width = size
    files = DrawnFiles(folder / f"drawn_{height}_{writer}", size, drawn, total, writer)
    ours = {workers: partial(_ours, files, workers) for workers in (1, 2)}
    peers, missing = {}, []
    for name, find in PEERS.items():
        try:
            peers[name] = find(files)
        except ImportError:
            missing.append(name)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        expected = ours[1]()
        for name, peer in {**peers, "two workers": ours[2]}.items():
            _expect_equal(name, expected, peer())
        seconds: dict[Any, list[float]] = {}
        for _ in range(ROUNDS):
            for name, run in {**ours, **peers}.items():
                begin = time.perf_counter()
                run()
                seconds.setdefault(name, []).append((time.perf_counter() - begin) / total)
    finally:
        torch.set_num_threads(threads)
    spreads = {name: Spread.of(values) for name, values in seconds.items()}
    sizes = f"{height} x {width}, {total} images, PNGs by {writer}"
    what = "`eval_pq` from files, an image, one worker"
    rows = [
        Row(what, sizes, ours=spreads[1], peer=name, theirs=spreads[name], goal=Goal(at_least=1))
        for name in peers
    ]
    rows.append(
        Row(
            "the same with two workers",
            sizes,
            ours=spreads[2],
            peer="one worker",
            theirs=spreads[1],
            goal=Goal(at_least=1.7),
        )
    )
    return [*rows, *(Row(what, sizes, peer=name, note="not installed") for name in missing)]


def pq_in_memory(folder: Path, size: tuple[int, int], drawn: int) -> list[Row]:
    """An update of PQ against vernier's kernel, and the same from id maps, in turns."""
    what, sizes = ("PQ, as tensors", "PQ, from id maps"), f"{size[0]} x {size[1]}, drawn streets"
    files = DrawnFiles(folder, size, drawn, drawn, WRITERS[0])
    try:
        vernier = Vernier(files.categories)
    except ImportError:
        return [Row(name, sizes, peer="vernier", note="not installed") for name in what]
    metric = PanopticQuality(files.categories)
    gt, pred = (
        [
            (torch.from_numpy(read_rgb_ids(folder / entry["file_name"])), entry["segments_info"])
            for entry in annotations
        ]
        for folder, annotations in zip(files.folders, files.annotations)
    )

    def built(number: int) -> tuple[PanopticSegmentation, PanopticTarget]:
        return (
            PanopticSegmentation.from_segments(*pred[number]),
            PanopticTarget.from_segments(*gt[number]),
        )

    def built_for_vernier(number: int) -> tuple[Any, Any]:
        sides = (side[number] for side in (gt, pred))
        return vernier.build(*(({1: ids.numpy()}, {1: infos}) for ids, infos in sides))

    pairs, theirs = ([make(n) for n in range(drawn)] for make in (built, built_for_vernier))
    for pair, their_pair in zip(pairs, theirs):
        result = metric.reset().update(*pair).compute()
        expected = {i: (c.iou_sum, c.tp, c.fp, c.fn) for i, c in result.classes.items()}
        _expect_equal("vernier", expected, _counts_of_vernier(vernier.evaluate(their_pair)))
    calls = {
        "update": lambda n: metric.update(*pairs[n]),
        "kernel": lambda n: vernier.evaluate(theirs[n]),
        "from ids": lambda n: metric.update(*built(n)),
        "vernier": lambda n: vernier.evaluate(built_for_vernier(n)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for number in range(drawn):
            for name, call in calls.items():
                seconds[name].append(seconds_of(partial(call, number)))
    update, kernel, whole, their_whole = (Spread.of(values) for values in seconds.values())
    return [
        Row(what[0], sizes, update, peer="vernier's kernel", theirs=kernel, goal=Goal(at_least=1)),
        Row(what[1], sizes, whole, peer="vernier", theirs=their_whole, goal=Goal(at_least=1 / 0.6)),
    ]


def _ours(files: DrawnFiles, workers: int) -> Counts:
    options = RunOptions(device="cpu", workers=workers, quiet=True)
    gt_folder, pred_folder = files.folders
    result = eval_pq(*files.jsons, gt_folder=gt_folder, pred_folder=pred_folder, options=options)
    return {i: (c.iou_sum, c.tp, c.fp, c.fn) for i, c in result.classes.items()}


def _hotcoco(files: DrawnFiles) -> Callable[[], Counts]:
    """Its evaluation, which is Rust from the files to the numbers, in one thread."""
    os.environ["RAYON_NUM_THREADS"] = "1"  # it reads this at its first call
    from hotcoco import panoptic

    def run() -> Counts:
        evaluation = panoptic.PanopticEval(
            *map(str, files.jsons),
            gt_folder=str(files.folders[0]),
            pred_folder=str(files.folders[1]),
        )
        evaluation.evaluate()
        rows = evaluation.results()["per_class"]
        return {int(i): (r["iou"], r["tp"], r["fp"], r["fn"]) for i, r in rows.items()}

    return run


def _official(module: str, files: DrawnFiles) -> Callable[[], Counts]:
    """The official code in one process; `pq_compute` shares the same work among processes."""
    evaluation = importlib.import_module(module)
    categories = {category["id"]: category for category in files.categories}

    def run() -> Counts:
        pairs = list(zip(*files.annotations))
        with redirect_stdout(StringIO()):
            stats = evaluation.pq_compute_single_core(
                0, pairs, *map(str, files.folders), categories
            )
        return {i: (s.iou, s.tp, s.fp, s.fn) for i, s in stats.pq_per_cat.items()}

    return run


def _vernier(files: DrawnFiles) -> Callable[[], Counts]:
    """Its evaluation, in Rust, of maps that its own function decodes by Pillow."""
    vernier = Vernier(files.categories)
    decode = vernier.panoptic.decode_label_map_png
    infos = [{a["image_id"]: a["segments_info"] for a in listed} for listed in files.annotations]

    def run() -> Counts:
        maps = (
            {a["image_id"]: decode(str(folder / a["file_name"])) for a in listed}
            for folder, listed in zip(files.folders, files.annotations)
        )
        return _counts_of_vernier(vernier.evaluate(vernier.build(*zip(maps, infos))))

    return run


def _counts_of_vernier(found: Any) -> Counts:
    return {i: (c.iou_sum, c.n_tp, c.n_fp, c.n_fn) for i, c in found.per_class().items()}


def _expect_equal(name: str, ours: Counts, theirs: Counts) -> None:
    """Stop unless the counts of every class are equal, and its sum of IoUs to 1e-9."""
    for class_id, (iou, *verdicts) in ours.items():
        other_iou, *others = theirs.get(class_id, (0.0, 0, 0, 0))
        if verdicts != others or abs(iou - other_iou) > 1e-9:
            raise Difference(f"{name}: class {class_id}: {(iou, *verdicts)} and {theirs[class_id]}")


#: What else evaluates PQ from files; each finds its library, and returns what runs it.
PEERS: dict[str, Callable[[DrawnFiles], Callable[[], Counts]]] = {
    "hotcoco": _hotcoco,
    "vernier": _vernier,
    "panopticapi": partial(_official, "panopticapi.evaluation"),
    "cityscapesScripts": partial(
        _official, "cityscapesscripts.evaluation.evalPanopticSemanticLabeling"
    ),
}

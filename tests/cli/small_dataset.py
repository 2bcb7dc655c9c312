"""A data set of three small images with everything that the tools read, and their command lines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from pps_torch.cli.main import main
from pps_torch.io.seals import seal

HEIGHT, WIDTH = 24, 40
IDS = ("street_000000_000019", "street_000001_000019", "street_000002_000019")
ROAD, BUILDING, PERSON, CAR = 7, 11, 24, 26
CAR_WINDOW_FLAT = 9  # cpp_default: car parts are the flat ids 9 to 13


class SmallDataset:
    """A data set that writes itself into a folder; `run` calls a tool on it."""

    def __init__(self, folder: Path, count: int = len(IDS)) -> None:
        self.folder = folder
        self.images_json = folder / "images.json"
        self.semantic = folder / "semantic"
        self.parts = folder / "parts"
        self.gt = folder / "gt"
        self.instances_json = folder / "instances.json"
        self.instances_txt = folder / "instances"
        self.panoptic_dir = folder / "reference" / "panoptic"
        self.panoptic_json = folder / "reference" / "panoptic.json"
        self.pps = folder / "reference_pps"
        self.output = folder / "output"
        for path in (self.semantic, self.parts, self.gt, self.instances_txt, self.panoptic_dir):
            path.mkdir(parents=True)
        self.pps.mkdir()
        instances, annotations = [], []
        ids = [f"street_{number:06d}_000019" for number in range(count)]
        for number, image_id in enumerate(ids):
            scene = Scene(number % 20)
            save(self.semantic / f"{image_id}_semantic.png", scene.semantic)
            save(self.parts / f"{image_id}_parts.png", scene.parts)
            save(self.gt / f"{image_id}_gtFinePanopticParts.tif", scene.uids)
            save(self.panoptic_dir / f"{image_id}_photo.png", scene.panoptic_rgb)
            save(self.pps / f"{image_id}_photo.png", scene.pps)
            instances += [{"image_id": image_id, **entry} for entry in scene.coco_instances()]
            annotations.append(
                {
                    "image_id": image_id,
                    "file_name": f"{image_id}_photo.png",
                    "segments_info": [
                        {"id": 1, "category_id": CAR},
                        {"id": 2, "category_id": ROAD},
                        {"id": 3, "category_id": BUILDING},
                    ],
                }
            )
            lines = []
            for place, mask in enumerate(scene.masks):
                name = f"{image_id}_{place}.png"
                save(self.instances_txt / name, 255 * mask)
                lines.append(f"{name} {CAR} {0.9 - 0.5 * place}\n")
            (self.instances_txt / f"{image_id}_pred.txt").write_text("".join(lines))
        categories = [
            {"id": CAR, "name": "car", "isthing": 1, "color": [0, 0, 142]},
            {"id": ROAD, "name": "road", "isthing": 0, "color": [128, 64, 128]},
            {"id": BUILDING, "name": "building", "isthing": 0, "color": [70, 70, 70]},
        ]
        write_json(self.panoptic_json, {"annotations": annotations, "categories": categories})
        write_json(self.instances_json, instances)
        images = [
            {"id": i, "file_name": f"{i}_photo.jpg", "height": HEIGHT, "width": WIDTH} for i in ids
        ]
        write_json(self.images_json, {"images": images})

    def arguments(self, tool: str) -> list[str]:
        """The command line of a tool on this data set."""
        coco = [self.instances_json, self.semantic, self.output, self.images_json]
        cityscapes = [self.instances_txt, *coco[1:], "--instseg_format", "Cityscapes"]
        pq = ["--gt_json_file", self.panoptic_json, "--pred_json_file", self.panoptic_json]
        words = {
            "merge_to_panoptic": ["merge_to_panoptic", "cpp_default", *coco],
            "merge_to_panoptic Cityscapes": ["merge_to_panoptic", "cpp_default", *cityscapes],
            "merge_to_pps": [
                *("merge_to_pps", "cpp_default", self.panoptic_dir, self.panoptic_json),
                *(self.parts, self.images_json, self.output),
            ],
            "eval_partpq": [
                *("eval_partpq", "cpp_default", self.gt, self.pps, self.images_json),
                *("--save_dir", self.output),
            ],
            "eval_pq": ["eval_pq", *pq, "--save_dir", self.output],
            "visualize": ["visualize", "cpp_default", self.pps, self.output],
        }[tool]
        limit = ["--stuff_area_limit", "20"] if words[0] == "merge_to_panoptic" else []
        return [*map(str, words), *limit, "--device", "cpu", "--workers", "2", "--quiet"]

    def run(self, tool: str, *more: str) -> int:
        """Exit code of a tool on this data set."""
        return main([*self.arguments(tool), *more])

    def written(self) -> dict[str, bytes]:
        """The output files by name, without the hidden ones."""
        return {
            str(path.relative_to(self.output)): path.read_bytes()
            for path in sorted(self.output.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }


class Scene:
    """Road below building, a car on the road; and a poor detection of a second car."""

    def __init__(self, number: int) -> None:
        car = np.zeros((HEIGHT, WIDTH), np.uint8)
        car[14:22, 4 + number : 16 + number] = 1
        other = np.zeros_like(car)
        other[15:20, 22:30] = 1
        self.masks = [car, other]
        self.semantic = np.full((HEIGHT, WIDTH), ROAD, np.uint8)
        self.semantic[:12] = BUILDING
        window = np.zeros_like(car)
        window[14:17, 6 + number : 12 + number] = 1
        self.parts = CAR_WINDOW_FLAT * window
        self.segments = np.where(car, 1, np.where(self.semantic == ROAD, 2, 3)).astype(np.uint8)
        self.panoptic_rgb = np.stack([self.segments, 0 * car, 0 * car], 2)
        sids = np.choose(self.segments, [0, CAR, ROAD, BUILDING])
        pids = np.where(self.segments == 1, np.where(window, 1, 255), 1)
        self.pps = np.stack([sids, np.ones_like(sids), pids], 2).astype(np.uint8)
        car_uids = np.where(window, 2600101, 2600105)
        self.uids = np.where(self.segments == 1, car_uids, self.semantic).astype(np.int32)

    def coco_instances(self) -> list[dict]:
        """The car at score 0.9 and the other one at 0.4, as compressed RLE."""
        from pycocotools import mask

        entries = []
        for place, car in enumerate(self.masks):
            rle = mask.encode(np.asfortranarray(car))
            segmentation = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
            score = 0.9 - 0.5 * place
            entries.append({"category_id": CAR, "score": score, "segmentation": segmentation})
        return entries


@contextmanager
def never_read(paths: Sequence[Path]) -> Iterator[Callable[[], bool]]:
    """Let the reading of these files not end within this context.

    It stands for a disk or a decoder that does not answer, in a `WarmProcess` or wherever
    `never_read_marked_files` was called.

    Yields:
        whether all of them are being read.
    """
    for path in paths:
        never_read_mark(path).touch()
    try:
        yield lambda: all(being_read_mark(path).exists() for path in paths)
    finally:
        for path in paths:
            never_read_mark(path).unlink()
            being_read_mark(path).unlink(missing_ok=True)


def never_read_mark(path: Path) -> Path:
    """A hidden file that says that the reading of a file shall not end."""
    return path.with_name(f".{path.name}.never_read")


def being_read_mark(path: Path) -> Path:
    """A hidden file that says that a file is being read without an end."""
    return path.with_name(f".{path.name}.being_read")


def never_read_marked_files() -> None:
    """Let this process wait without an end for files that are marked so."""
    system_open = os.open

    def open_file(path, *more, **names):
        mark = never_read_mark(Path(path))
        if mark.exists():
            being_read_mark(Path(path)).touch()
            time.sleep(60)
        return system_open(path, *more, **names)

    os.open = open_file


def save(path: Path, array: np.ndarray) -> None:
    Image.fromarray(np.asarray(array)).save(path)


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def edit_json(path: Path, edit) -> None:
    """Changes a JSON file in place: `edit` gets its content."""
    value = json.loads(path.read_text())
    edit(value)
    write_json(path, value)


def edit_sealed(path: Path, edit, target: Path | None = None) -> None:
    """Changes JSON with a checksum of itself, and mends the checksum."""
    value = json.loads(path.read_text())
    del value["sha256"]
    edit(value)
    (target or path).write_bytes(seal(value))

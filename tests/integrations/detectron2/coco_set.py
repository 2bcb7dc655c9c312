"""A small data set in COCO's panoptic format, registered in Detectron2, and a model's outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pps_torch import ids_to_rgb
from tests.factories import CATEGORIES, panoptic_pair

THINGS, STUFF = {7: 0, 1: 1}, {3: 1, 200: 2}
#: With label_divisor a label's category says by itself whether it is a thing.
UNIFIED_STUFF = {3: 2, 200: 3}
DIVISOR = 1000


class CocoSet:
    """Ground truth on disk; `inputs` and `outputs` are lists of one dict an image."""

    def __init__(self, folder: Path, num_images: int, size: tuple[int, int] = (30, 40)) -> None:
        self.folder, self.name = folder, f"coco_set_{folder.name}"
        (folder / "gt").mkdir()
        rng, annotations, images = np.random.default_rng(0), [], []
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        for image_id in range(num_images):
            pred_ids, pred_infos, gt_ids, gt_infos = panoptic_pair(rng, size)
            name = f"{image_id:012d}.png"
            write_png(folder / "gt" / name, gt_ids)
            for info in gt_infos:
                info["area"] = int((gt_ids == info["id"]).sum())
            annotations.append({"image_id": image_id, "file_name": name, "segments_info": gt_infos})
            images.append({"id": image_id, "height": size[0], "width": size[1]})
            self.inputs.append({"image_id": image_id, "file_name": f"{image_id:012d}.jpg"})
            infos = [contiguous(info) for info in pred_infos]
            self.outputs.append({"panoptic_seg": (torch.from_numpy(pred_ids).int(), infos)})
        content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        (folder / "gt.json").write_text(json.dumps(content))

    def register(self, name: str, **metadata: Any) -> str:
        """Under a name, in place of an older one."""
        fields = {
            "panoptic_json": str(self.folder / "gt.json"),
            "panoptic_root": str(self.folder / "gt"),
            "thing_dataset_id_to_contiguous_id": THINGS,
            "stuff_dataset_id_to_contiguous_id": STUFF,
        }
        return register(name, self.inputs, **{**fields, **metadata})

    def labels(self) -> list[dict[str, Any]]:
        """The outputs as a model with `category * divisor + instance` has them."""
        contiguous_ids, found = {**THINGS, **UNIFIED_STUFF}, []
        for output in self.outputs:
            ids, infos = output["panoptic_seg"]
            labels = torch.full_like(ids, -1)
            for number, info in enumerate(infos):
                back = {v: k for k, v in (THINGS if info["isthing"] else STUFF).items()}
                category = contiguous_ids[back[info["category_id"]]]
                labels[ids == info["id"]] = category * DIVISOR + number
            found.append({"panoptic_seg": (labels, None)})
        return found


def register(name: str, dicts: list[dict[str, Any]], **metadata: Any) -> str:
    """A data set in Detectron2's catalogues, in place of an older one."""
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog.list():
            catalog.remove(name)
    DatasetCatalog.register(name, lambda: dicts)
    MetadataCatalog.get(name).set(**metadata)
    return name


def contiguous(info: dict[str, Any]) -> dict[str, Any]:
    is_thing = info["category_id"] in THINGS
    category = (THINGS if is_thing else STUFF)[info["category_id"]]
    return {"id": info["id"], "category_id": category, "isthing": is_thing}


def write_png(path: Path, ids: np.ndarray) -> None:
    Image.fromarray(ids_to_rgb(torch.from_numpy(ids)).numpy()).save(path)

"""Readers of the golden folders: arrays and the reference's answers, as they are stored."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent
SPECS = ("cpp_default", "cpp_grouped", "ppp_default")


def read_json(path: Path):
    return json.loads(path.read_text())


def read_image(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def read_rgb_ids(path: Path) -> np.ndarray:
    """COCO panoptic PNG: id = R + 256 G + 65536 B."""
    red, green, blue = np.moveaxis(read_image(path).astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue


def unpack(bits: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Masks stored as np.packbits over the flattened array."""
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)


def part_pq_images(spec: str):
    """Yields (name, pps (3, H, W), uids (H, W), {eval sid: [iou, tp, fp, fn]})."""
    folder = ROOT / "partpq" / spec
    for name, stats in read_json(folder / "expected.json")["per_image_iou_tp_fp_fn"].items():
        pps = np.moveaxis(read_image(folder / f"{name}_pps.png"), -1, 0)
        uids = read_image(folder / f"{name}_uids.tif").astype(np.int32)
        yield name, pps, uids, {int(sid): values for sid, values in stats.items()}


def part_pq_total(spec: str) -> dict:
    return read_json(ROOT / "partpq" / spec / "expected.json")["total"]


def pq_images(folder: Path = ROOT / "pq", gt="gt", pred="pred", gt_json=None, pred_json=None):
    """Yields (pred ids, pred segments_info, gt ids, gt segments_info) of a COCO panoptic pair."""
    gt_json = read_json(folder / (gt_json or f"{gt}.json"))
    pred_json = read_json(folder / (pred_json or f"{pred}.json"))
    predictions = {a["image_id"]: a for a in pred_json["annotations"]}
    for target in gt_json["annotations"]:
        prediction = predictions[target["image_id"]]
        yield (
            read_rgb_ids(folder / pred / prediction["file_name"]),
            prediction["segments_info"],
            read_rgb_ids(folder / gt / target["file_name"]),
            target["segments_info"],
        )


def pq_categories(gt_json: Path = ROOT / "pq" / "gt.json") -> list[dict]:
    return read_json(gt_json)["categories"]


def pq_expected() -> dict:
    return read_json(ROOT / "pq" / "expected.json")


def coco_instances(path: Path, image_id: str, size: tuple[int, int]):
    """(masks, scores, classes) of one image from a COCO results file, in file order."""
    from pycocotools import mask as coco_mask

    found = [r for r in read_json(path) if r["image_id"] == image_id]
    with warnings.catch_warnings():  # pycocotools 2.0 and NumPy 2 disagree about a keyword
        warnings.simplefilter("ignore", DeprecationWarning)
        masks = [coco_mask.decode(r["segmentation"]).astype(bool) for r in found]
    scores = np.array([r["score"] for r in found], np.float64)
    classes = np.array([r["category_id"] for r in found], np.int64)
    return np.array(masks, bool).reshape(-1, *size), scores, classes


def cityscapes_instances(folder: Path, image_id: str, size: tuple[int, int]):
    """(masks, scores, classes) of one image from Cityscapes txt and mask PNGs, in file order."""
    rows = [line.split() for line in (folder / f"{image_id}_pred.txt").read_text().splitlines()]
    masks = [read_image(folder / file) > 0 for file, _, _ in rows]
    scores = np.array([float(score) for _, _, score in rows], np.float64)
    classes = np.array([int(category) for _, category, _ in rows], np.int64)
    return np.array(masks, bool).reshape(-1, *size), scores, classes


def merging_images(spec: str, instance_format: str):
    """Yields dicts: inputs (sem_seg, masks, ..., parts), expected panoptic, categories, pps."""
    folder = ROOT / "merging" / spec
    expected = read_json(folder / "expected.json")[instance_format]
    for image in read_json(folder / "images.json")["images"]:
        image_id = image["id"]
        sem_seg = read_image(folder / "semantic" / f"{image_id}_pred.png")
        if instance_format == "COCO":
            instances = coco_instances(folder / "coco_instances.json", image_id, sem_seg.shape)
        else:
            instances = cityscapes_instances(
                folder / "cityscapes_instances", image_id, sem_seg.shape
            )
        case = {"id": image_id, "sem_seg": sem_seg}
        case.update(zip(("masks", "scores", "classes"), instances))
        case["parts"] = read_image(folder / "parts" / f"{image_id}_parts.png")
        case["panoptic"] = read_image(folder / f"{image_id}_panoptic_{instance_format}.tif")
        case["categories"] = {int(k): v for k, v in expected[image_id]["categories"].items()}
        file_name = image["file_name"].replace(".jpg", ".png")
        case["pps"] = np.moveaxis(read_image(folder / "expected_pps" / file_name), -1, 0)
        yield case


def npz_cases(folder: str):
    """Yields dicts: the arrays of a case, masks unpacked, and its entries of expected.json."""
    for entry in read_json(ROOT / folder / "expected.json"):
        arrays = dict(np.load(ROOT / folder / f"{entry['case']}.npz"))
        for name in ("masks", "pasted"):
            if f"{name}_shape" in arrays:
                arrays[name] = unpack(arrays[name], arrays[f"{name}_shape"])
        yield {**entry, **arrays}


def number_by_first_appearance(ids: np.ndarray, categories: dict[int, int]):
    """Renumbers segments 1, 2, ... in reading order: (map, {new id: category}); 0 stays."""
    new_id = {0: 0}
    for value in ids.ravel().tolist():
        new_id.setdefault(value, len(new_id))
    renumbered = np.vectorize(new_id.__getitem__, otypes=[np.int64])(ids)
    return renumbered, {new_id[old]: c for old, c in categories.items() if old in new_id}

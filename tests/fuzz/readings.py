"""A second, plain reading of the small data set, and what each tool must make of it.

It reads by `json`, Pillow and pycocotools alone and computes by the slow rules of
`tests/oracles`, so that a run that ends well can be told from one that is right.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from pps_torch.specs import EvalSpec
from tests.fuzz.other_forms import (
    PPS_FORMS,
    decoded_mask,
    deep_colors,
    levels_of_npz,
    levels_of_uids,
    masks_as_map,
    png_chunks,
)
from tests.oracles.merge_panoptic import merge_panoptic
from tests.oracles.merge_pps import merge_pps
from tests.oracles.panoptic_quality import add_stats, panoptic_quality
from tests.oracles.part_panoptic_quality import part_panoptic_quality


class Damaged(Exception):
    """The plain reading finds no meaning in a file."""


class Unclear(Exception):
    """The plain reading cannot tell which file belongs to an image."""


def expected_outputs(tool: str, folder: Path) -> dict[str, Any]:
    """What a tool must write, by file name: arrays for PNGs, plain values for JSON.

    Raises:
        Damaged: a file means nothing, so a run on it should have failed.
        Unclear: no answer.
    """
    try:
        return _EXPECTED[tool](folder)
    except (ArithmeticError, LookupError, OSError, SyntaxError, TypeError, ValueError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    except (RecursionError, struct.error, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error


def found_outputs(tool: str, output: Path) -> dict[str, Any]:
    """What a tool wrote, in the same form."""
    found: dict[str, Any] = {}
    for path in sorted(output.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            name = str(path.relative_to(output))
            found[name] = json.loads(path.read_text()) if path.suffix == ".json" else pixels(path)
    if tool.startswith("merge_to_panoptic"):
        return _as_segments(found)
    if tool.startswith("eval"):
        (result,) = found.values()
        rows = result["metrics"]["PartPQ" if tool.startswith("eval_partpq") else "PQ"]["classes"]
        return {"counts": {str(row["id"]): _counts(row) for row in rows}}
    return found


def differences(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """Where the two are not the same; an empty text where they are."""
    if expected.keys() != found.keys():
        return f"files {sorted(expected)} and {sorted(found)}"
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            if value.shape != found[name].shape or (value != found[name]).any():
                return f"{name}: pixels"
        elif name == "counts":
            present = {key: row for key, row in found[name].items() if any(row)}
            if value.keys() != present.keys():
                return f"classes {sorted(value)} and {sorted(present)}"
            for key, row in value.items():
                if row[1:] != present[key][1:] or abs(row[0] - present[key][0]) > 1e-9:
                    return f"class {key}: {row} and {present[key]}"
        elif value != found[name]:
            return f"{name}: {value} and {found[name]}"
    return ""


def pixels(path: Path) -> np.ndarray:
    """The pixels of an image whose checksums, if it has any, are right."""
    content = path.read_bytes()
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        png_chunks(content)
    with Image.open(path) as image:
        return np.array(image)


def _ids(path: Path) -> np.ndarray:
    ids = pixels(path)
    if ids.ndim != 2 or ids.dtype.kind not in "uib":
        raise ValueError(f"shape {ids.shape} {ids.dtype}")
    return ids.astype(np.int64)


def _rgb(path: Path) -> np.ndarray:
    rgb = pixels(path)
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"shape {rgb.shape}")
    return rgb.astype(np.int64)


def _rgb_ids(path: Path) -> np.ndarray:
    rgb = _rgb(path)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes().decode("utf-8-sig"))


def _id(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError(value)
    text = str(value)
    return str(int(text)) if text.isascii() and text.isdecimal() else text


def _images(folder: Path) -> Iterable[tuple[str, str, tuple[int, int]]]:
    for entry in _json(folder / "images.json")["images"]:
        image_id = entry["id"] if "id" in entry else entry["image_id"]
        name = entry["file_name"].replace("\\", "/")  # as of Windows
        stem = name.rsplit("/", 1)[-1]
        suffix = stem.rfind(".")
        base = name[: len(name) - len(stem) + suffix] if 0 < suffix < len(stem) - 1 else name
        while "//" in base or base.startswith("./") or "/./" in base:
            base = base.removeprefix("./").replace("//", "/").replace("/./", "/")
        yield _id(image_id), f"{base}.png", (entry["height"], entry["width"])


def _file(folder: Path, image_id: str) -> Path:
    """Only ids whose file is easy to tell are looked at."""
    paths = [p for p in folder.rglob("*") if p.name.startswith(f"{image_id}_") and p.is_file()]
    paths = [p for p in paths if p.suffix in (".npz", ".png", ".tif", ".txt")]
    if folder.name == "instances":
        paths = [p for p in paths if p.suffix == ".txt"]
    if len(paths) != 1:
        raise Unclear(f"{image_id}: {paths}")
    return paths[0]


def _same_size(size: tuple[int, int], *maps: np.ndarray) -> None:
    for one in maps:
        if one.shape[:2] != tuple(size):
            raise ValueError(f"{one.shape} and {size}")


def _spec(folder: Path) -> EvalSpec:
    """The spec as the package reads it, compared with the lists in the file."""
    path = folder / "eval_spec.yaml"
    spec = EvalSpec.load(path)
    fields = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    for key in ("things", "stuff", "parts", "no_parts"):
        if list(getattr(spec, key)) != [int(sid) for sid in fields[f"eval_sid_{key}"]]:
            raise AssertionError(f"{key}: {getattr(spec, key)}")
    for sid, eval_sid in spec.dataset_sid_to_eval_sid.items():
        if int(fields["dataset_sid2eval_sid"][str(sid)]) != eval_sid:
            raise AssertionError(f"dataset_sid2eval_sid[{sid}]")
    return spec


def _known_uids(path: Path) -> np.ndarray:
    """Uids, 0 for those of classes beyond 99, which no data set has."""
    uids = _ids(path)
    return np.where(uids < 10**7, uids, 0)


def _pps(path: Path) -> np.ndarray:
    """(H, W, 3) ids of a PPS map, whose form its ending and the header of a PNG say."""
    if path.suffix == ".npz":
        return levels_of_npz(path)
    if path.suffix == ".png":
        content = path.read_bytes()
        bits, channels, *_, is_interlaced = content[24:29]
        if (bits, channels) == (16, 2):
            if is_interlaced:
                raise Unclear("interlaced")
            return deep_colors(content)
        if bits == 8:
            return _rgb(path)
    return levels_of_uids(_known_uids(path))


def _eval_partpq(pps_folder: str) -> Any:
    def expected(folder: Path) -> dict[str, Any]:
        spec, total = _spec(folder), {}
        for image_id, _, size in _images(folder):
            uids = _known_uids(_file(folder / "gt", image_id))
            pps = _pps(_file(folder / pps_folder, image_id)).transpose(2, 0, 1)
            _same_size(size, uids, pps[0])
            add_stats(total, part_panoptic_quality(pps, uids, spec))
        return {"counts": {str(sid): row for sid, row in total.items() if any(row)}}

    return expected


def _annotations(path: Path) -> dict[str, dict]:
    return {_id(entry["image_id"]): entry for entry in _json(path)["annotations"]}


def _segments(entry: dict, ids: np.ndarray) -> list[dict]:
    listed = [segment["id"] for segment in entry["segments_info"]]
    if sorted(listed) != sorted(set(np.unique(ids).tolist()) - {0}):
        raise ValueError(f"segments {listed}")
    return entry["segments_info"]


def _eval_pq(folder: Path) -> dict[str, Any]:
    gt, pred = _annotations(folder / "gt.json"), _annotations(folder / "pred.json")
    total: dict[int, list] = {}
    for image_id, entry in gt.items():
        gt_ids = _rgb_ids(folder / "reference" / "panoptic" / entry["file_name"])
        pred_ids = _rgb_ids(folder / "prediction" / pred[image_id]["file_name"])
        _same_size(gt_ids.shape, pred_ids)
        segments = _segments(pred[image_id], pred_ids), _segments(entry, gt_ids)
        add_stats(total, panoptic_quality(pred_ids, segments[0], gt_ids, segments[1]))
    return {"counts": {str(key): row for key, row in total.items() if any(row)}}


def _eval_pq_of_masks(folder: Path) -> dict[str, Any]:
    contents = _json(folder / "gt_masks.json"), _json(folder / "pred_masks.json")
    gt, pred = (_masks(content) for content in contents)
    images = {_id(image["id"]): image for image in contents[0].get("images", [])}
    total: dict[int, list] = {}
    for image_id in dict.fromkeys((*images, *gt)):
        annotations = gt.get(image_id, [])
        size = _size(images.get(image_id, {}), annotations)
        gt_map = masks_as_map(annotations, size)
        pred_map = masks_as_map(pred.get(image_id, []), size)
        add_stats(total, panoptic_quality(*pred_map, *gt_map))
    return {"counts": {str(key): row for key, row in total.items() if any(row)}}


def _size(image: dict[str, Any], annotations: list[dict]) -> tuple[int, int]:
    """Of the image, or the first that an RLE has."""
    if {"height", "width"} <= image.keys():
        return image["height"], image["width"]
    codes = (one["segmentation"] for one in annotations)
    height, width = next(code["size"] for code in codes if isinstance(code, dict))
    return height, width


def _masks(content: Any) -> dict[str, list[dict]]:
    """The annotations of each image."""
    masks: dict[str, list[dict]] = {}
    for entry in content["annotations"] if isinstance(content, dict) else content:
        masks.setdefault(_id(entry["image_id"]), []).append(entry)
    return masks


def _merge_to_pps(folder: Path) -> dict[str, Any]:
    spec, entries = _spec(folder), _annotations(folder / "reference" / "panoptic.json")
    expected = {}
    for image_id, name, size in _images(folder):
        entry = entries[image_id]
        ids = _rgb_ids(folder / "reference" / "panoptic" / entry["file_name"])
        parts = _ids(_file(folder / "parts", image_id))
        _same_size(size, ids, parts)
        segments = _segments(entry, ids)
        dense = np.zeros(ids.shape, np.int64)
        for number, segment in enumerate(segments, start=1):
            dense[ids == segment["id"]] = number
        pps = merge_pps(dense, [segment["category_id"] for segment in segments], parts, spec)
        expected[name] = pps.transpose(1, 2, 0).astype(np.uint8)
    return expected


def _coco_instances(folder: Path, image_id: str, size: tuple[int, int]) -> list[tuple]:
    content = _json(folder / "instances.json")
    entries = content["annotations"] if isinstance(content, dict) else content
    instances = []
    for entry in entries:
        if _id(entry["image_id"]) != image_id:
            continue
        if entry["score"] < 0.5:  # is left out, and never decoded
            continue
        mask = decoded_mask(entry["segmentation"], size)
        instances.append((mask, entry["category_id"], float(entry["score"])))
    return instances


def _cityscapes_instances(folder: Path, image_id: str, size: tuple[int, int]) -> list[tuple]:
    path = _file(folder / "instances", image_id)
    instances = []
    for line in path.read_bytes().decode("utf-8-sig").replace("\r", "\n").split("\n"):
        if line.strip():
            name, category_id, score = line.strip().rsplit(None, 2)
            mask = _ids(path.parent / name) != 0
            _same_size(size, mask)
            instances.append((mask, int(category_id), float(score)))
    return instances


def _merge_to_panoptic(read_instances) -> Any:
    def expected(folder: Path) -> dict[str, Any]:
        spec, outputs = _spec(folder), {}
        for image_id, name, size in _images(folder):
            semantic = _ids(_file(folder / "semantic", image_id))
            _same_size(size, semantic)
            instances = read_instances(folder, image_id, size)
            masks, classes, scores = zip(*instances) if instances else ((), (), ())
            if not set(classes) <= set(spec.things) or not np.isfinite(scores).all():
                raise ValueError(f"classes {classes}, scores {scores}")
            panoptic, segments = merge_panoptic(
                *(semantic, np.array(masks), np.array(scores), np.array(classes)),
                stuff_ids=spec.stuff,
                stuff_area_limit=20,
            )
            outputs[f"panoptic/{name}"] = panoptic
            outputs[f"segments of {name}"] = [
                [s["category_id"], s["area"], s.get("score")] for s in segments
            ]
        return outputs

    return expected


def _as_segments(found: dict[str, Any]) -> dict[str, Any]:
    """panoptic.json and its PNGs as maps of segments 1..S, and the segments."""
    content, outputs = found["panoptic.json"], {}
    if len(content["annotations"]) != len(found) - 1:
        raise AssertionError("panoptic.json: as many annotations as PNGs")
    for entry in content["annotations"]:
        name = f"panoptic/{entry['file_name']}"
        rgb = found[name].astype(np.int64)
        ids = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
        outputs[name] = np.zeros(ids.shape, np.int32)
        for number, segment in enumerate(entry["segments_info"], start=1):
            outputs[name][ids == segment["id"]] = number
        outputs[f"segments of {entry['file_name']}"] = [
            [s["category_id"], s["area"], s.get("score")] for s in entry["segments_info"]
        ]
    return outputs


def _counts(row: dict[str, Any]) -> list:
    return [row["iou_sum"], row["tp"], row["fp"], row["fn"]]


_EXPECTED = {
    "eval_partpq": _eval_partpq("reference_pps"),
    **{f"eval_partpq {form}": _eval_partpq(form) for form in PPS_FORMS},
    "eval_pq": _eval_pq,
    "eval_pq masks": _eval_pq_of_masks,
    "merge_to_pps": _merge_to_pps,
    "merge_to_panoptic": _merge_to_panoptic(_coco_instances),
    "merge_to_panoptic Cityscapes": _merge_to_panoptic(_cityscapes_instances),
}

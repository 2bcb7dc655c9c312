"""The small data set in other forms: PPS maps of more than 8 bits, and masks in a JSON.

They are written by the package, or by pycocotools, and read again by the plain means of
`tests/fuzz/readings.py`.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from pps_torch.io.pps_files import FORMS, write_pps_map
from tests.cli.small_dataset import CAR, HEIGHT, WIDTH, SmallDataset, write_json
from tests.oracles.uids import ABSENT, decode_uids

#: Those that hold the parts of the data set.
PPS_FORMS = ("npz", "png16", "uids")


def save_pps_maps(dataset: SmallDataset, form: str) -> None:
    """Save the PPS maps once more, in a folder with the name of the form."""
    folder = dataset.folder / form
    folder.mkdir()
    for path in sorted(dataset.pps.iterdir()):
        pps = np.moveaxis(np.array(Image.open(path)), 2, 0)
        write_pps_map(folder / f"{path.stem}{FORMS[form].suffix}", pps, form)


def save_masks(panoptic: dict[str, Any], pngs: Path, gt: Path, pred: Path) -> None:
    """Save panoptic maps as masks: polygons, text or lists of counts for cars, else lists.

    The predictions are a list, in which an image has the masks of another, and one is missing.
    """
    masks: list[dict[str, Any]] = []
    for place, entry in enumerate(panoptic["annotations"]):
        ids = np.array(Image.open(pngs / entry["file_name"]))[..., 0]
        for segment in entry["segments_info"]:
            form = place if segment["category_id"] == CAR else 2
            segmentation = _segmentation(ids == segment["id"], form)
            category_id, image_id = segment["category_id"], entry["image_id"]
            masks.append(
                {
                    "id": len(masks) + 1,
                    "image_id": image_id,
                    "category_id": category_id,
                    "segmentation": segmentation,
                }
            )
    image_ids = [entry["image_id"] for entry in panoptic["annotations"]]
    images = [{"id": image_id, "height": HEIGHT, "width": WIDTH} for image_id in image_ids]
    write_json(gt, {"images": images, "annotations": masks, "categories": panoptic["categories"]})
    moved = [{**mask, "score": 0.5} for mask in masks if mask["image_id"] != image_ids[2]]
    moved += [{**mask, "image_id": image_ids[2]} for mask in masks[:2]]
    write_json(pred, moved)


def _segmentation(mask: np.ndarray, form: int) -> Any:
    if form == 0:  # the corners of a rectangle
        (top, bottom), (left, right) = (
            (int(places.min()), int(places.max()) + 1) for places in np.nonzero(mask)
        )
        return [[left, top, right, top, right, bottom, left, bottom]]
    if form == 1:
        rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
    pixels = mask.T.reshape(-1)
    borders = np.flatnonzero(np.diff(pixels, prepend=False))
    counts = np.diff(borders, prepend=0, append=pixels.size).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def decoded_mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """The mask of an RLE or of polygons, by pycocotools."""
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    elif segmentation["size"] != list(size):
        raise ValueError(f"size {segmentation['size']}")
    elif isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.decode(segmentation) != 0


def masks_as_map(
    annotations: list[dict[str, Any]], size: tuple[int, int]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The map of segments 1, 2, ... and the list of these; ValueError if they overlap."""
    ids, segments = np.zeros(size, np.int64), []
    for number, annotation in enumerate(annotations, start=1):
        mask = decoded_mask(annotation["segmentation"], size)
        if not mask.any() or (ids[mask] != 0).any():
            raise ValueError(f"annotation {number}: overlaps, or has no pixel")
        ids[mask] = number
        segments.append({**annotation, "id": number})
    return ids, segments


def levels_of_npz(path: Path) -> np.ndarray:
    """(H, W, 3) ids of an NPZ."""
    with np.load(path) as archive:
        pps = archive["pps"]
    if pps.ndim != 3 or len(pps) != 3 or pps.dtype.kind not in "iu" or pps.min() < 0:
        raise ValueError(f"shape {pps.shape} {pps.dtype}")
    return np.moveaxis(pps, 0, 2).astype(np.int64)


def levels_of_uids(uids: np.ndarray) -> np.ndarray:
    """(H, W, 3) scene class, instance, or 0, and part, or 255."""
    sids, iids, pids = decode_uids(uids)
    return np.stack([sids, np.maximum(iids, 0), np.where(pids == ABSENT, 255, pids)], -1)


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and data of the chunks of a PNG up to its last; ValueError for a wrong checksum."""
    chunks, place = [(b"", b"")], 8
    while chunks[-1][0] != b"IEND":
        length, kind = struct.unpack_from(">I4s", content, place)
        data = content[place + 8 : place + 8 + length]
        if struct.pack(">I", zlib.crc32(kind + data)) != content[place + 8 + length :][:4]:
            raise ValueError("checksum")
        chunks.append((kind, data))
        place += 12 + length
    return chunks[1:]


def deep_colors(content: bytes) -> np.ndarray:
    """(H, W, 3) levels of a PNG of 3 x 16 bits, which Pillow does not give; not interlaced."""
    chunks = png_chunks(content)
    width, height = struct.unpack(">II", chunks[0][1][:8])
    packed = b"".join(data for kind, data in chunks if kind == b"IDAT")
    stride = 1 + 6 * width
    rows = np.frombuffer(zlib.decompressobj().decompress(packed, height * stride), np.uint8)
    above, colors = [0] * (stride - 1), []
    for kind, *row in rows.reshape(height, stride).tolist():
        for index in range(stride - 1):
            left, corner = (row[index - 6], above[index - 6]) if index >= 6 else (0, 0)
            row[index] = (row[index] + _predicted(kind, left, above[index], corner)) % 256
        above = row
        colors.append(row)
    return np.array(colors, np.uint8).view(">u2").reshape(height, width, 3).astype(np.int64)


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    """What a filter of PNG adds to a byte."""
    nearest = min((left, above, corner), key=lambda value: abs(left + above - corner - value))
    return (0, left, above, (left + above) // 2, nearest)[kind]

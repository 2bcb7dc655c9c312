"""Drawn streets as files: photos, ground truth, predictions in every format of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pps_torch.io.atomic import make_folder
from pps_torch.io.coco_panoptic import SegmentIdGenerator, renumber
from pps_torch.io.images import write_id_map, write_rgb, write_rgb_ids
from pps_torch.io.json_files import save_json
from pps_torch.io.writers import write_cityscapes_instances
from pps_torch.specs import EvalSpec
from pps_torch.synthetic import Detection, make_street, predict_imperfectly
from pps_torch.visualization import ground_truth_pps


class StreetFolders:
    """Where the files of drawn streets are: photos, ground truth, and three networks' predictions.

    Args:
        root: the folder of them all.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.photos = root / "leftImg8bit"
        self.gt = root / "gtFinePanopticParts"
        self.gt_panoptic = root / "gt_panoptic"
        self.gt_panoptic_json = root / "gt_panoptic.json"
        self.predictions = root / "predictions"
        self.semantic = self.predictions / "semantic"
        self.parts = self.predictions / "parts"
        self.coco_instances = self.predictions / "instances.json"
        self.cityscapes_instances = self.predictions / "instances"


def write_streets(
    folders: StreetFolders, spec: EvalSpec, size: tuple[int, int], num_streets: int
) -> None:
    """Draw streets, predict them imperfectly, and write both as the files of a data set.

    Args:
        folders: where to; they are made.
        spec: the classes that are predicted.
        size: (height, width) of each street in pixels.
        num_streets: how many; their seeds are 0, 1, ...
    """
    for folder in (
        folders.photos,
        folders.gt,
        folders.gt_panoptic,
        folders.semantic,
        folders.parts,
        folders.cityscapes_instances,
    ):
        make_folder(folder)
    segment_ids = SegmentIdGenerator(spec.categories)
    images, annotations, instances = [], [], []
    for seed in range(num_streets):
        image_id = f"street_{seed:06d}_000019"
        scene = make_street(size, seed)
        write_rgb(folders.photos / f"{image_id}_leftImg8bit.png", scene.photo.numpy())
        write_id_map(folders.gt / f"{image_id}_gtFinePanopticParts.tif", scene.uids.numpy())
        png = folders.gt_panoptic / f"{image_id}.png"
        segments = _write_gt_panoptic(png, scene.uids, spec, segment_ids)
        annotations.append({"image_id": image_id, "file_name": png.name, "segments_info": segments})
        images.append({"id": image_id, "file_name": png.name, "height": size[0], "width": size[1]})

        prediction = predict_imperfectly(scene, spec, seed)
        semantic = folders.semantic / f"{image_id}_semantic.png"
        write_id_map(semantic, prediction.semantic.numpy())
        write_id_map(folders.parts / f"{image_id}_parts.png", prediction.part_seg.numpy())
        instances += [_as_coco(image_id, detection) for detection in prediction.detections]
        masks, category_ids, scores = zip(*prediction.detections)
        write_cityscapes_instances(
            folders.cityscapes_instances,
            image_id,
            torch.stack(masks),
            torch.tensor(scores, dtype=torch.float64),
            torch.tensor(category_ids),
        )
    save_json(folders.coco_instances, instances)
    save_json(
        folders.gt_panoptic_json,
        {"images": images, "annotations": annotations, "categories": spec.categories},
    )


def _write_gt_panoptic(
    path: Path, uids: Tensor, spec: EvalSpec, segment_ids: SegmentIdGenerator
) -> list[dict[str, Any]]:
    """Write uids as a COCO panoptic PNG; return its segments_info.

    Instances are told apart by their evaluation class and number, which does for specs that map
    no two dataset classes to one.
    """
    sids, iids, _ = ground_truth_pps(uids, spec).numpy()
    keys = np.where(sids == spec.ignore_label, -1, sids * 10_000 + iids)
    found, panoptic_seg = np.unique(keys, return_inverse=True)
    panoptic_seg = panoptic_seg.reshape(keys.shape)
    areas = np.bincount(panoptic_seg.ravel())
    if found[0] == -1:
        found, areas = found[1:], areas[1:]
    else:
        panoptic_seg += 1
    segments = [
        {
            "category_id": key // 10_000,
            "isthing": key // 10_000 in spec.things,
            "iscrowd": int(key // 10_000 in spec.things and key % 10_000 == 0),
            "area": area,
        }
        for key, area in zip(found.tolist(), areas.tolist())
    ]
    ids = segment_ids.ids(segments)
    write_rgb_ids(path, renumber(panoptic_seg, ids))
    return [{"id": segment_id, **segment} for segment_id, segment in zip(ids, segments)]


def _as_coco(image_id: str, detection: Detection) -> dict[str, Any]:
    from pycocotools import mask

    rle = mask.encode(np.asfortranarray(detection.mask.numpy(), np.uint8))
    return {
        "image_id": image_id,
        "category_id": detection.category_id,
        "score": detection.score,
        "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode()},
    }

"""The folders of Cityscapes and Pascal Panoptic Parts as they are published, with tiny images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pps_torch.io.images import write_id_map, write_rgb

UIDS = np.full((4, 6), 24_001_02, np.int32)


def write_pair(photo: Path, tiff: Path) -> None:
    for folder in (photo.parent, tiff.parent):
        folder.mkdir(parents=True, exist_ok=True)
    write_rgb(photo, np.zeros((3, *UIDS.shape), np.uint8))
    write_id_map(tiff, UIDS)


def write_cityscapes(root: Path, city: str, number: int, split: str = "val") -> None:
    image_id = f"{city}_{number:06d}_000019"
    write_pair(
        root / "leftImg8bit" / split / city / f"{image_id}_leftImg8bit.png",
        root / "gtFinePanopticParts" / split / city / f"{image_id}_gtFinePanopticParts.tif",
    )


def write_pascal(root: Path, image_id: str, folder: str) -> None:
    write_pair(
        root / "JPEGImages" / f"{image_id}.jpg", root / "labels" / folder / f"{image_id}.tif"
    )

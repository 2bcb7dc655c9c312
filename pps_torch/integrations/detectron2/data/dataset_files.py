"""The images of the data sets with part labels: files on disk, and streets that are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pps_torch.io.errors import InputError
from pps_torch.io.image_files import read_size
from pps_torch.io.pairing import cityscapes_id, ground_truth_files, pascal_id
from pps_torch.printing import first_of

_PASCAL_FOLDERS = {"train": "training", "val": "validation"}

#: Height and width of the synthetic streets.
STREET_SIZE = (256, 512)
#: First seed and number of the streets of each split; no seed is in both.
STREETS = {"train": (0, 4000), "val": (1_000_000, 100)}


def cityscapes_images(root: Path | str, split: str) -> list[dict[str, Any]]:
    """List Cityscapes-PanopticParts as Detectron2's dataset dicts.

    Args:
        root: the folder of `leftImg8bit/{train,val}/CITY/ID_leftImg8bit.png` and
            `gtFinePanopticParts/{train,val}/CITY/ID_gtFinePanopticParts.tif`.
        split: `train` or `val`.

    Returns:
        one dict for each TIFF, sorted by city and name: `file_name` (the photo), `image_id`,
        `height`, `width` and `pps_file_name` (the TIFF).

    Raises:
        InputError: names the folder without TIFFs, or the photos that are missing.
    """
    root = Path(root)
    images = []
    for tiff in ground_truth_files(root / "gtFinePanopticParts" / split):
        image_id = cityscapes_id(tiff)
        photo = root / "leftImg8bit" / split / tiff.parent.name / f"{image_id}_leftImg8bit.png"
        images.append((image_id, photo, tiff))
    return _dataset_dicts(images)


def pascal_images(root: Path | str, split: str) -> list[dict[str, Any]]:
    """List PASCAL-PanopticParts as Detectron2's dataset dicts.

    Args:
        root: the folder of `JPEGImages/ID.jpg` of VOC 2010 and of
            `labels/{training,validation}/ID.tif` of PASCAL-PanopticParts.
        split: `train` or `val`.

    Returns:
        one dict for each TIFF, with the keys of `cityscapes_images`.

    Raises:
        InputError: names the folder without TIFFs, or the photos that are missing.
    """
    root = Path(root)
    images = []
    for tiff in ground_truth_files(root / "labels" / _PASCAL_FOLDERS[split]):
        image_id = pascal_id(tiff)
        images.append((image_id, root / "JPEGImages" / f"{image_id}.jpg", tiff))
    return _dataset_dicts(images)


def street_images(split: str) -> list[dict[str, Any]]:
    """List the synthetic streets as Detectron2's dataset dicts.

    They have no files: `street_seed` says what `PPSDatasetMapper` draws.

    Args:
        split: `train` or `val`.

    Returns:
        one dict for each street: `file_name`, `image_id`, `height`, `width` and `street_seed`.

    Example:
        >>> street_images("val")[0]["image_id"]
        'street_1000000'
    """
    height, width = STREET_SIZE
    first, count = STREETS[split]
    return [
        {
            "file_name": f"street_{seed:07d}.png",  # some evaluators name their files after it
            "image_id": f"street_{seed:07d}",
            "height": height,
            "width": width,
            "street_seed": seed,
        }
        for seed in range(first, first + count)
    ]


def _dataset_dicts(images: list[tuple[str, Path, Path]]) -> list[dict[str, Any]]:
    """Make a dict of each image's id, photo and TIFF."""
    missing = [str(photo) for _, photo, _ in images if not photo.is_file()]
    if missing:
        raise InputError(
            f"expected a photo of each image, found none for {len(missing)}: "
            f"{first_of(missing, most=5)}"
        )
    dicts = []
    for image_id, photo, tiff in images:
        height, width = read_size(tiff)
        dicts.append(
            {
                "file_name": str(photo),
                "image_id": image_id,
                "height": height,
                "width": width,
                "pps_file_name": str(tiff),
            }
        )
    return dicts

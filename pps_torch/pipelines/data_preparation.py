"""The list of a data set's images, images.json, from its ground truth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pps_torch.io.atomic import HOUR, check_can_write, remove_temporary_files
from pps_torch.io.errors import InputError
from pps_torch.io.file_names import refuse_overwriting
from pps_torch.io.image_files import read_size
from pps_torch.io.image_list import ImageList, normalise_id
from pps_torch.io.json_files import load_json, save_json
from pps_torch.io.pairing import (
    PHOTO_SUFFIXES,
    cityscapes_id,
    ground_truth_files,
    list_files,
    pascal_id,
)
from pps_torch.pipelines.running.options import RunOptions

DATASETS = ("Cityscapes", "Pascal", "Other")


def prepare_data(
    dataset_dir: Path | str,
    output_dir: Path | str,
    dataset: str,
    *,
    ending: str = "",
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """List the images of a split in images.json; two data sets as panoptic_parts' does.

    Args:
        dataset_dir: folder of the split's ground-truth maps, or of folders with them. For `Other`
            also a folder of photos or predictions, or a COCO JSON, whose `images` have `id`,
            `file_name`, `height` and `width`.
        output_dir: where images.json goes.
        dataset: one of `DATASETS`; it says how the names of the files hold the image ids. Of
            `Other` the id is the name without its ending.
        ending: for `Other`, what follows the id in each name, such as `_gt` in `0001_gt.png`.

    Returns:
        The path of images.json.

    Raises:
        InputError: there are no maps, a name is not one of the data set, two files are of one
            image, or there is another images.json, or images.json is the COCO JSON.
    """
    dataset_dir, path = Path(dataset_dir), Path(output_dir) / "images.json"
    if dataset not in DATASETS:
        raise InputError(f"expected one of {DATASETS}, found {dataset!r}", argument="dataset")
    if ending and dataset != "Other":
        raise InputError(f"expected none for {dataset}, found {ending!r}", argument="ending")
    refuse_overwriting([path], [dataset_dir])
    check_can_write(path)
    if dataset == "Other" and not dataset_dir.is_dir():
        images = _entries_of_coco(dataset_dir)
    else:
        images = _entries_of_folder(dataset_dir, dataset, ending, options)
    content = {"images": images}
    if os.path.lexists(path) and not options.overwrite and load_json(path) != content:
        raise InputError(
            f"{path}: already exists with other content", remedy=("overwrite", "replace it")
        )
    remove_temporary_files(path.parent, path.name, older_than=HOUR)
    save_json(path, content)
    options.note(f"{len(images)} images in {path}")
    return path


def _entries_of_coco(path: Path) -> list[dict[str, Any]]:
    """The entries of a COCO JSON, with what images.json has."""
    images = ImageList.load(path)
    return [
        {
            "file_name": image.file_name,
            "id": image.coco_id,
            "width": image.width,
            "height": image.height,
        }
        for image in images
    ]


def _entries_of_folder(
    folder: Path, dataset: str, ending: str, options: RunOptions
) -> list[dict[str, Any]]:
    """An entry for each map in a folder."""
    if dataset == "Other":
        files = _files_of_any_data_set(folder, ending)
        names = [
            {"file_name": str(f.relative_to(folder)), "id": f.stem.removesuffix(ending)}
            for f in files
        ]
    else:
        files = ground_truth_files(folder)
        entry_of = _cityscapes_entry if dataset == "Cityscapes" else _pascal_entry
        names = [entry_of(file) for file in files]
    sizes = options.map_images(read_size, files, "reading sizes")
    return [
        {**name, "width": width, "height": height} for name, (height, width) in zip(names, sizes)
    ]


def _files_of_any_data_set(folder: Path, ending: str) -> list[Path]:
    files = list_files(folder, PHOTO_SUFFIXES)
    chosen = [file for file in files if file.stem.endswith(ending)]
    if not chosen:
        expected = f"images ({' '.join(PHOTO_SUFFIXES)})"
        expected += f" whose names end in {ending!r}" if ending else ""
        raise InputError(f"{folder}: expected {expected}, found none among {len(files)}")
    owners: dict[str, Path] = {}
    for file in chosen:
        image_id = normalise_id(file.stem.removesuffix(ending) or file.stem)
        other = owners.setdefault(image_id, file)
        if other != file:
            raise InputError(
                f"{folder}: expected one file for each image, found {other.relative_to(folder)} "
                f"and {file.relative_to(folder)} for {image_id}"
            )
    return chosen


def _cityscapes_entry(tiff: Path) -> dict[str, str]:
    image_id = cityscapes_id(tiff)
    # This is no photo's name; panoptic_parts writes it, and looks for it among the predictions.
    return {"file_name": f"{image_id}_gtFine_leftImg8bit.png", "id": image_id}


def _pascal_entry(tiff: Path) -> dict[str, str]:
    image_id = pascal_id(tiff)
    return {"file_name": f"{image_id}.png", "id": image_id}

"""The list of a data set's images, images.json, from its ground truth."""

from __future__ import annotations

import os
from pathlib import Path

from pps_torch.io.atomic import HOUR, check_can_write, remove_temporary_files
from pps_torch.io.errors import InputError
from pps_torch.io.images import read_size
from pps_torch.io.json_files import load_json, save_json
from pps_torch.io.pairing import cityscapes_id, ground_truth_files, pascal_id
from pps_torch.pipelines.running.options import RunOptions

DATASETS = ("Cityscapes", "Pascal")


def prepare_data(
    dataset_dir: Path | str,
    output_dir: Path | str,
    dataset: str,
    *,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """List the images of a split as panoptic_parts' `prepare_data` does.

    Args:
        dataset_dir: folder of the split's ground-truth TIFFs, or of folders with them.
        output_dir: where images.json goes.
        dataset: one of `DATASETS`; it says how the TIFFs' names hold the image ids.

    Returns:
        The path of images.json.

    Raises:
        InputError: there are no TIFFs, a name is not one of the data set, or there is another
            images.json.
    """
    dataset_dir, path = Path(dataset_dir), Path(output_dir) / "images.json"
    if dataset not in DATASETS:
        raise InputError(f"expected one of {DATASETS}, found {dataset!r}", argument="dataset")
    tiffs = ground_truth_files(dataset_dir)
    entry_of = _cityscapes_entry if dataset == "Cityscapes" else _pascal_entry
    names = [entry_of(tiff) for tiff in tiffs]
    check_can_write(path)
    sizes = options.map_images(read_size, tiffs, "reading sizes")
    images = [
        {**name, "width": width, "height": height} for name, (height, width) in zip(names, sizes)
    ]
    content = {"images": images}
    if os.path.lexists(path) and not options.overwrite and load_json(path) != content:
        raise InputError(
            f"{path}: already exists with other content", remedy=("overwrite", "replace it")
        )
    remove_temporary_files(path.parent, path.name, older_than=HOUR)
    save_json(path, content)
    options.note(f"{len(images)} images in {path}")
    return path


def _cityscapes_entry(tiff: Path) -> dict[str, str]:
    image_id = cityscapes_id(tiff)
    # This is no photo's name; panoptic_parts writes it, and looks for it among the predictions.
    return {"file_name": f"{image_id}_gtFine_leftImg8bit.png", "id": image_id}


def _pascal_entry(tiff: Path) -> dict[str, str]:
    image_id = pascal_id(tiff)
    return {"file_name": f"{image_id}.png", "id": image_id}

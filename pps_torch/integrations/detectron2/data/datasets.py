"""The data sets with part-aware panoptic ground truth, registered in Detectron2's catalogues."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from pps_torch.integrations.detectron2.data.dataset_files import (
    cityscapes_images,
    pascal_images,
    street_images,
)
from pps_torch.integrations.detectron2.data.metadata import pps_metadata
from pps_torch.specs import EvalSpec

_SPLITS = ("train", "val")


def register_cityscapes_panoptic_parts(
    root: Path | str, *, eval_spec: str = "cpp_default", name: str = "cityscapes_panoptic_parts"
) -> None:
    """Register Cityscapes-PanopticParts as `<name>_train` and `<name>_val`.

    Data sets that were registered under these names are replaced. Files are looked for when a data
    set is first used.

    Args:
        root: the folder of `leftImg8bit` and `gtFinePanopticParts`.
        eval_spec: bundled name or path of the evaluation spec.
        name: what the names of the two data sets begin with.

    Example:
        ```python
        register_cityscapes_panoptic_parts("/data/cityscapes")
        cfg.DATASETS.TEST = ("cityscapes_panoptic_parts_val",)
        ```
    """
    for split in _SPLITS:
        _register(f"{name}_{split}", partial(cityscapes_images, root, split), eval_spec)


def register_pascal_panoptic_parts(
    root: Path | str, *, eval_spec: str = "ppp_default", name: str = "pascal_panoptic_parts"
) -> None:
    """Register PASCAL-PanopticParts as `<name>_train` and `<name>_val`.

    Data sets that were registered under these names are replaced. Files are looked for when a data
    set is first used.

    Args:
        root: the folder of VOC 2010's `JPEGImages` and of PASCAL-PanopticParts' `labels`.
        eval_spec: `ppp_default` (57 parts), `ppp_107` (107 parts), or the path of a spec.
        name: what the names of the two data sets begin with.

    Example:
        ```python
        register_pascal_panoptic_parts("/data/pascal", eval_spec="ppp_107", name="ppp_107")
        cfg.DATASETS.TEST = ("ppp_107_val",)
        ```
    """
    for split in _SPLITS:
        _register(f"{name}_{split}", partial(pascal_images, root, split), eval_spec)


def register_synthetic() -> None:
    """Register `pps_synthetic_train` and `pps_synthetic_val`, streets that are drawn on the fly.

    They have 256 x 512 pixels, the ids of Cityscapes-PanopticParts (`cpp_default`) and no files:
    `PPSDatasetMapper` draws each street from its seed, each time the same.
    """
    for split in _SPLITS:
        _register(f"pps_synthetic_{split}", partial(street_images, split), "cpp_default")


def register_all() -> None:
    """Register all data sets of this module under their default names.

    Files are looked for where Detectron2 looks for its own: in `cityscapes` and `pascal` within the
    folder that the environment variable `DETECTRON2_DATASETS` names, by default `datasets`.
    """
    root = Path(os.getenv("DETECTRON2_DATASETS", "datasets")).expanduser()
    register_cityscapes_panoptic_parts(root / "cityscapes")
    register_pascal_panoptic_parts(root / "pascal")
    register_synthetic()


def _register(name: str, load: Callable[[], list[dict[str, Any]]], eval_spec: str) -> None:
    """Register one data set in both catalogues, in place of one of the same name."""
    metadata = pps_metadata(EvalSpec.load(eval_spec), eval_spec)
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
    if name in MetadataCatalog.list():
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)

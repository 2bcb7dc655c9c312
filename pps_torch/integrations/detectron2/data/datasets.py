"""Data sets with part-aware panoptic ground truth, in Detectron2's catalogues."""

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
    """Registers `<name>_train` and `<name>_val`, in the place of what has these names.

    Files are looked at when the data set is first used.

    Args:
        root: the folder with `leftImg8bit` and `gtFinePanopticParts`.
        eval_spec: bundled name or path of the spec that says what is evaluated.
        name: how the data sets' names begin.

    Example:
        .. code-block:: python

            register_cityscapes_panoptic_parts("/data/cityscapes")
            cfg.DATASETS.TEST = ("cityscapes_panoptic_parts_val",)
    """
    for split in _SPLITS:
        _register(f"{name}_{split}", partial(cityscapes_images, root, split), eval_spec)


def register_pascal_panoptic_parts(
    root: Path | str, *, eval_spec: str = "ppp_default", name: str = "pascal_panoptic_parts"
) -> None:
    """Registers `<name>_train` and `<name>_val`, in the place of what has these names.

    Args:
        root: the folder with VOC 2010's `JPEGImages` and PASCAL-PanopticParts' `labels`.
        eval_spec: `ppp_default` has 57 parts, `ppp_107` has 107; or the path of a spec.
        name: how the data sets' names begin.

    Example:
        .. code-block:: python

            register_pascal_panoptic_parts("/data/pascal", eval_spec="ppp_107", name="ppp_107")
            cfg.DATASETS.TEST = ("ppp_107_val",)
    """
    for split in _SPLITS:
        _register(f"{name}_{split}", partial(pascal_images, root, split), eval_spec)


def register_synthetic() -> None:
    """Registers `pps_synthetic_train` and `pps_synthetic_val`: streets drawn on the fly.

    They have the ids of Cityscapes-PanopticParts (`cpp_default`), 256 x 512 pixels, and no files:
    `PPSDatasetMapper` draws each street from its seed, the same one each time.
    """
    for split in _SPLITS:
        _register(f"pps_synthetic_{split}", partial(street_images, split), "cpp_default")


def register_all() -> None:
    """Registers all data sets, those with files where Detectron2 looks for its own.

    That is the folder `DETECTRON2_DATASETS` of the environment, by default `datasets`; in it
    `cityscapes` and `pascal`.
    """
    root = Path(os.getenv("DETECTRON2_DATASETS", "datasets")).expanduser()
    register_cityscapes_panoptic_parts(root / "cityscapes")
    register_pascal_panoptic_parts(root / "pascal")
    register_synthetic()


def _register(name: str, load: Callable[[], list[dict[str, Any]]], eval_spec: str) -> None:
    metadata = pps_metadata(EvalSpec.load(eval_spec), eval_spec)
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
    if name in MetadataCatalog.list():
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)

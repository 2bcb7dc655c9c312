"""The data sets with part-aware panoptic ground truth, registered in Detectron2's catalogues.

They are registered on request, never by an import: other projects register their own under the same
names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
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
from pps_torch.io.errors import InputError
from pps_torch.specs import EvalSpec

_SPLITS = ("train", "val")
_LOADERS = (cityscapes_images, pascal_images, street_images)


def register_cityscapes_panoptic_parts(
    root: Path | str, *, eval_spec: str = "cpp_default", name: str = "cityscapes_panoptic_parts"
) -> None:
    """Register Cityscapes-PanopticParts as `<name>_train` and `<name>_val`.

    Those that pps_torch registered under these names before are replaced. Files are looked for when
    a data set is first used.

    Args:
        root: the folder of `leftImg8bit` and `gtFinePanopticParts`.
        eval_spec: bundled name or path of the evaluation spec.
        name: what the names of the two data sets begin with.

    Raises:
        InputError: another project registered a data set under one of the names; says which.

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

    Those that pps_torch registered under these names before are replaced. Files are looked for when
    a data set is first used.

    Args:
        root: the folder of VOC 2010's `JPEGImages` and of PASCAL-PanopticParts' `labels`.
        eval_spec: `ppp_default` (57 parts), `ppp_107` (107 parts), or the path of a spec.
        name: what the names of the two data sets begin with.

    Raises:
        InputError: another project registered a data set under one of the names; says which.

    Example:
        ```python
        register_pascal_panoptic_parts("/data/pascal", eval_spec="ppp_107", name="ppp_107")
        cfg.DATASETS.TEST = ("ppp_107_val",)
        ```
    """
    for split in _SPLITS:
        _register(f"{name}_{split}", partial(pascal_images, root, split), eval_spec)


def register_all() -> None:
    """Register all data sets of this module under their default names.

    Files are looked for where Detectron2 looks for its own: in `cityscapes` and `pascal` within the
    folder that the environment variable `DETECTRON2_DATASETS` names, by default `datasets`.

    Raises:
        InputError: as for `register_cityscapes_panoptic_parts`.

    Example:
        ```python
        register_all()
        cfg.DATASETS.TEST = ("pps_synthetic_val",)
        ```
    """
    for name, (load, eval_spec) in _defaults().items():
        _register(name, load, eval_spec)


def register_missing(names: Iterable[str]) -> None:
    """Register those of the default data sets that are named, unless somebody has done so."""
    for name, (load, eval_spec) in _defaults().items():
        if name in names and name not in DatasetCatalog.list():
            _register(name, load, eval_spec)


def _defaults() -> dict[str, tuple[Callable[[], list[dict[str, Any]]], str]]:
    """By name, what lists the images of each default data set, and its spec."""
    root = Path(os.getenv("DETECTRON2_DATASETS", "datasets")).expanduser()
    data_sets: dict[str, tuple[Callable[..., list[dict[str, Any]]], str]] = {
        "cityscapes_panoptic_parts": (
            partial(cityscapes_images, root / "cityscapes"),
            "cpp_default",
        ),
        "pascal_panoptic_parts": (partial(pascal_images, root / "pascal"), "ppp_default"),
        "pps_synthetic": (street_images, "cpp_default"),
    }
    return {
        f"{name}_{split}": (partial(load, split), eval_spec)
        for name, (load, eval_spec) in data_sets.items()
        for split in _SPLITS
    }


def _register(name: str, load: Callable[[], list[dict[str, Any]]], eval_spec: str) -> None:
    """Register one data set in both catalogues, in place of one of this module's."""
    metadata = pps_metadata(EvalSpec.load(eval_spec), eval_spec)
    if name in DatasetCatalog.list():
        _check_is_own(name)
        DatasetCatalog.remove(name)
    if name in MetadataCatalog.list():
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)


def _check_is_own(name: str) -> None:
    """Raise InputError if another project registered the data set of this name."""
    load = DatasetCatalog[name]
    load = load.func if isinstance(load, partial) else load
    if load not in _LOADERS:
        owner = f"{load.__module__}.{getattr(load, '__qualname__', type(load).__name__)}"
        raise InputError(
            f"{name}: expected a name that no other project uses, found a data set that "
            f"{owner} loads; register_cityscapes_panoptic_parts and "
            "register_pascal_panoptic_parts take another name"
        )

"""The sources of other projects, where the environment variable PPS_TORCH_REAL names their folder.

The folder has a clone of each: `detectron2`, `Mask2Former`, `MaskDINO`, `tapps`,
`Panoptic-PartFormer`, `panopticapi`. None of them has to be compiled; what they import of their
extensions is empty here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

VARIABLE = "PPS_TORCH_REAL"
#: Compiled extensions that are imported, but not called by what is tested here.
_EXTENSIONS = ("detectron2._C", "MultiScaleDeformableAttention")


def add_sources(*names: str) -> Path:
    """Put clones on the path of modules, in their order; skip the test where one is missing.

    Returns:
        the folder of the first.
    """
    folder = os.environ.get(VARIABLE)
    if folder is None:
        pytest.skip(f"{VARIABLE} names no folder of sources")
    for name in names:
        path = Path(folder) / name
        if not path.is_dir():
            pytest.skip(f"no {name} in {VARIABLE}")
        if str(path) not in sys.path:
            sys.path.append(str(path))  # clones have a package `tests`, too
    return Path(folder) / names[0]


@contextmanager
def stand_in_for_extensions() -> Iterator[None]:
    """Let uncompiled sources be imported, and what asks later find that they are uncompiled."""
    before = {name: sys.modules.get(name) for name in _EXTENSIONS}
    for name in _EXTENSIONS:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["detectron2._C"].InstanceAnnotation = object
    try:
        yield
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


class EmptyModule(types.ModuleType):
    """A module of classes that are empty, whatever is asked for."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _OpsOfMmcv:
    """Finds the operations of mmcv, which mmcv-lite does not have; mmdet imports them all."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        is_one = name == "mmcv.ops" or name.startswith("mmcv.ops.")
        return importlib.util.spec_from_loader(name, self) if is_one else None

    def create_module(self, spec: object) -> types.ModuleType:
        return EmptyModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


def stand_in_for_ops_of_mmcv() -> None:
    """Let mmdet be imported with mmcv-lite."""
    pytest.importorskip("mmcv", reason="needs mmcv or mmcv-lite")
    if importlib.util.find_spec("mmcv._ext") is None:
        if not any(isinstance(finder, _OpsOfMmcv) for finder in sys.meta_path):
            sys.meta_path.insert(0, _OpsOfMmcv())


@contextmanager
def forgotten_registrations() -> Iterator[None]:
    """Import a project whose names of models and data sets another one has registered, too."""
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY

    registries = (BACKBONE_REGISTRY, META_ARCH_REGISTRY, SEM_SEG_HEADS_REGISTRY)
    tables = [DatasetCatalog.data, MetadataCatalog.data, *(r._obj_map for r in registries)]
    before = [dict(table) for table in tables]
    for table in (DatasetCatalog.data, *tables[2:]):
        for name in [name for name, value in table.items() if _is_of_a_project(value)]:
            del table[name]
            MetadataCatalog.data.pop(name, None)
    yield
    for table, entries in zip(tables, before):
        table.clear()
        table.update(entries)


@contextmanager
def forgotten_modules(*packages: str) -> Iterator[None]:
    """Import packages whose names another project uses, too, and forget them at the end."""

    def take_out() -> dict[str, types.ModuleType]:
        names = [name for name in sys.modules if name.split(".")[0] in packages]
        return {name: sys.modules.pop(name) for name in names}

    before = take_out()
    try:
        yield
    finally:
        take_out()
        sys.modules.update(before)


def _is_of_a_project(value: Callable) -> bool:
    return value.__module__.split(".")[0] not in ("detectron2", "pps_torch")

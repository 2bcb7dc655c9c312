"""Files: id maps, JSON, RLE and COCO panoptic; pairing by image id; threads; resumed output."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pps_torch.io.coco_panoptic import PanopticAnnotation, PanopticFile, SegmentIdGenerator
    from pps_torch.io.errors import InputError
    from pps_torch.io.images import (
        read_id_map,
        read_photo,
        read_rgb_ids,
        write_id_map,
        write_rgb_ids,
    )
    from pps_torch.io.mask_segments import read_segments
    from pps_torch.io.pairing import PHOTO_SUFFIXES, find_files
    from pps_torch.io.pps_files import read_pps
    from pps_torch.io.writers import PanopticWriter, write_cityscapes_instances, write_pps

__all__ = [
    "PHOTO_SUFFIXES",
    "InputError",
    "PanopticAnnotation",
    "PanopticFile",
    "PanopticWriter",
    "SegmentIdGenerator",
    "find_files",
    "read_id_map",
    "read_photo",
    "read_pps",
    "read_rgb_ids",
    "read_segments",
    "write_cityscapes_instances",
    "write_id_map",
    "write_pps",
    "write_rgb_ids",
]

_MODULES = {
    "InputError": "errors",
    "PHOTO_SUFFIXES": "pairing",
    "PanopticAnnotation": "coco_panoptic",
    "PanopticFile": "coco_panoptic",
    "PanopticWriter": "writers",
    "SegmentIdGenerator": "coco_panoptic",
    "find_files": "pairing",
    "read_id_map": "images",
    "read_photo": "images",
    "read_pps": "pps_files",
    "read_rgb_ids": "images",
    "read_segments": "mask_segments",
    "write_cityscapes_instances": "writers",
    "write_id_map": "images",
    "write_pps": "writers",
    "write_rgb_ids": "images",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: wrong arguments are named without torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    globals()[name] = getattr(module, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

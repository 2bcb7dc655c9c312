"""Files: id maps, JSON, RLE and COCO panoptic; pairing by image id; threads; resumed output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pps_torch.lazy_names import lazy_names

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

# Wrong arguments are named without torch.
__getattr__, __dir__ = lazy_names(__name__, _MODULES)

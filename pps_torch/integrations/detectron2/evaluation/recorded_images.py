"""The records that tables are made of: each image's segments and map, until all are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation, ids_to_rgb
from pps_torch.io.image_codecs import encode_png
from pps_torch.metrics import ImageRecord, SegmentRecord
from pps_torch.pipelines.evaluation_tables import TableRecords

_LARGEST_BYTE = 255


class RecordedImage(NamedTuple):
    """What is kept of an image that this process evaluated.

    Attributes:
        segments: what became of each segment.
        confused_pixels: as in [`ImageRecord`][pps_torch.metrics.ImageRecord], sparse.
        png: the evaluated map as the bytes of a PNG.
        segments_info: the segments of a panoptic map; empty for a PPS map.
    """

    segments: list[SegmentRecord]
    confused_pixels: Tensor
    png: bytes
    segments_info: list[dict[str, int]]

    @classmethod
    def from_pps(cls, record: ImageRecord, pps: Tensor) -> RecordedImage:
        """Keep a PPS map `(3, H, W)` that has passed `check_fits_png`."""
        png = _png(pps.permute(1, 2, 0))
        return cls(record.segments, record.confused_pixels.to_sparse(), png, [])

    @classmethod
    def from_panoptic(cls, record: ImageRecord, panoptic: PanopticSegmentation) -> RecordedImage:
        """Keep a panoptic map whose segments all have pixels, see `without_empty_segments`."""
        infos = [
            {key: info[key] for key in ("id", "category_id", "area")}
            for info in panoptic.segments_info()
        ]
        png = _png(ids_to_rgb(panoptic.panoptic_seg))
        return cls(record.segments, record.confused_pixels.to_sparse(), png, infos)


class RecordedShare(NamedTuple):
    """The records of the images of one process, or of all; without their maps.

    Attributes:
        segments, segments_info: by the image's index in the data set, in rising order.
        confused_pixels: `(C, C + 1)`, the sum over the images.
    """

    segments: dict[int, list[SegmentRecord]]
    segments_info: dict[int, list[dict[str, int]]]
    confused_pixels: np.ndarray

    @classmethod
    def from_images(cls, images: Mapping[int, RecordedImage], num_classes: int) -> RecordedShare:
        """Collect the records of images, given by index."""
        confused_pixels = torch.zeros(num_classes, num_classes + 1, dtype=torch.int64, device="cpu")
        for image in images.values():
            confused_pixels += image.confused_pixels
        return cls(
            {index: images[index].segments for index in sorted(images)},
            {index: images[index].segments_info for index in sorted(images)},
            confused_pixels.numpy(),
        )

    @classmethod
    def from_shares(cls, shares: Iterable[RecordedShare]) -> RecordedShare:
        """Join the shares of all processes; no image is in two of them."""
        segments, segments_info, confused_pixels = zip(*shares)
        return cls(_joined(segments), _joined(segments_info), np.sum(confused_pixels, 0))

    def table_records(self) -> TableRecords:
        """Convert the records into those that the tables are written from."""
        records = TableRecords(len(self.confused_pixels))
        records.segments = list(self.segments.values())
        records.confused_pixels = self.confused_pixels
        return records


def check_fits_png(pps: Tensor) -> None:
    """Raise ValueError for a PPS map with an id that no byte can hold; waits for the device."""
    low, high = (int(limit) for limit in pps.aminmax())
    if low < 0 or high > _LARGEST_BYTE:
        raise ValueError(
            f"outputs: pps: expected ids 0..{_LARGEST_BYTE}, which is what a PNG can hold, "
            f"found {low}..{high}"
        )


def without_empty_segments(panoptic: PanopticSegmentation) -> PanopticSegmentation:
    """Drop the segments without pixels, which a PNG cannot hold, and count the areas of the others.

    The segments that stay are numbered anew, 1..S in their order; ids without a row become S + 1.
    This waits for the device.

    Args:
        panoptic: one image.

    Example:
        >>> from pps_torch.integrations.detectron2.evaluation.panoptic_outputs import (
        ...     CategoryIds,
        ...     read_panoptic_output,
        ... )
        >>> info = [{"id": 1, "category_id": 24}, {"id": 2, "category_id": 7}]
        >>> panoptic = read_panoptic_output(torch.tensor([[0, 2, 2]]), info, CategoryIds({}, {}))
        >>> whole = without_empty_segments(panoptic)
        >>> whole.panoptic_seg.tolist(), whole.category_ids.tolist(), whole.areas.tolist()
        ([[0, 1, 1]], [7], [2])
    """
    ids, count = panoptic.panoptic_seg.long(), len(panoptic.category_ids)
    ids = torch.where((ids < 0) | (ids > count), count + 1, ids)
    areas = torch.bincount(ids.flatten(), minlength=count + 2)[1:-1]
    kept = areas > 0
    num_kept = kept.sum()
    numbers = torch.cat([num_kept.new_zeros(1), kept.cumsum(0), num_kept[None] + 1])
    return PanopticSegmentation(
        panoptic_seg=numbers[ids].int(),
        category_ids=panoptic.category_ids[kept],
        is_thing=panoptic.is_thing[kept],
        scores=panoptic.scores[kept],
        areas=areas[kept],
        source=panoptic.source[kept],
        num_segments=num_kept,
    )


def _joined(parts: Iterable[dict[int, Any]]) -> dict[int, Any]:
    """Join dicts without common keys, and sort by key."""
    joined = {index: value for part in parts for index, value in part.items()}
    return dict(sorted(joined.items()))


def _png(pixels: Tensor) -> bytes:
    """Encode `(H, W, 3)` integers 0..255 as a PNG."""
    return encode_png(pixels.to(torch.uint8).cpu().contiguous().numpy())

"""What a page embeds of a scene: pictures, and the maps behind them in few bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from pps_torch.io.deflate import zlib
from pps_torch.io.image_codecs import encode_picture
from pps_torch.io.images import interleaved, read_photo
from pps_torch.io.png_files import SMALL
from pps_torch.pipelines.html_report.scenes import Scene
from pps_torch.visualization import colorize_errors

_PHOTO_QUALITY = 82


class Pictures(NamedTuple):
    """The pictures of an image, as data URLs, and its maps.

    Attributes:
        width, height: the size of all pictures and maps, in pixels.
        photo: JPEG, or None.
        gt, pred, errors: PNG with the exact colours.
        segment_bytes: of the numbers of segments in `maps`: 2, or 4 where there are more.
        maps: zlib in base64 of these planes, row by row: ground-truth segment and predicted
            segment (unsigned, little endian), and, where there are parts, ground-truth part and
            predicted part (uint8). Numbers are differences to the left neighbour.
    """

    width: int
    height: int
    photo: str | None
    gt: str
    pred: str
    errors: str
    segment_bytes: int
    maps: str

    @property
    def num_bytes(self) -> int:
        """How many bytes the pictures and maps take in a page."""
        texts = self.photo, self.gt, self.pred, self.errors, self.maps
        return sum(len(text) for text in texts if text)


def draw_pictures(scene: Scene, photo: Path | None) -> Pictures:
    """Draw a scene, beside its photograph if there is one."""
    height, width = scene.gt.shape
    highest = max(int(m.max()) for m in (scene.gt, scene.pred))
    segment_bytes = 2 if highest < 1 << 16 else 4
    maps = [(m, f"<u{segment_bytes}") for m in (scene.gt, scene.pred)]
    maps += [(m, "u1") for m in (scene.gt_parts, scene.pred_parts) if m is not None]
    planes = [_differences(m.numpy().astype(kind)) for m, kind in maps]
    return Pictures(
        width=width,
        height=height,
        photo=None if photo is None else _jpeg(read_photo(photo, (height, width))),
        gt=_png(scene.gt_picture),
        pred=_png(scene.pred_picture),
        errors=_png(colorize_errors(scene.errors)),
        segment_bytes=segment_bytes,
        maps=base64.b64encode(zlib.compress(b"".join(planes), SMALL)).decode(),
    )


class ChangePictures(NamedTuple):
    """The pictures of an image in two evaluations, as data URLs; sizes are in pixels.

    Attributes:
        width, height: of all pictures.
        photo: JPEG, or None.
        gt, before, after: PNG: ground truth, and what either evaluation predicted.
        changes: PNG: what became of the segments of the ground truth.
    """

    width: int
    height: int
    photo: str | None
    gt: str
    before: str
    after: str
    changes: str

    @property
    def num_bytes(self) -> int:
        """How many bytes the pictures take in a page."""
        return sum(len(text) for text in self[2:] if text)


def draw_changes(
    before: Scene, after: Scene, colors: Mapping[int, tuple[int, int, int]], photo: Path | None
) -> ChangePictures:
    """Draw an image as two evaluations have it.

    Args:
        before, after: the image in either; the ground truth is the same.
        colors: the colour of each segment of the ground truth by its index; void, 0, is white.
        photo: its photograph, if there is one.
    """
    height, width = before.gt.shape
    palette = torch.full((int(before.gt.max()) + 1, 3), 255, dtype=torch.uint8, device="cpu")
    for index, color in colors.items():
        if index < len(palette):
            palette[index] = torch.tensor(color, dtype=torch.uint8, device="cpu")
    return ChangePictures(
        width=width,
        height=height,
        photo=None if photo is None else _jpeg(read_photo(photo, (height, width))),
        gt=_png(before.gt_picture),
        before=_png(before.pred_picture),
        after=_png(after.pred_picture),
        changes=_png(palette[before.gt.long()].permute(2, 0, 1)),
    )


def _differences(plane: np.ndarray) -> bytes:
    """Differences to the left neighbour, modulo the dtype: a running sum gives the plane again.

    Runs of equal numbers become zeros, which pack well.
    """
    return np.diff(plane, axis=1, prepend=plane.dtype.type(0)).astype(plane.dtype).tobytes()


def _jpeg(photo: np.ndarray) -> str:
    buffer = io.BytesIO()
    image = PIL.Image.fromarray(interleaved(photo))
    image.save(buffer, "JPEG", quality=_PHOTO_QUALITY, optimize=True)
    return _data_url("jpeg", buffer.getvalue())


def _png(picture: Tensor) -> str:
    return _data_url("png", encode_picture(interleaved(picture.numpy())))


def _data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

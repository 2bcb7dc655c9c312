"""Image files: id maps, RGB ids and PPS maps, whose pixels are read as they are, and photos."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageOps

from pps_torch.formats.rgb_ids import id_colors, rgb_ids
from pps_torch.io.atomic import write_file
from pps_torch.io.errors import InputError
from pps_torch.io.image_codecs import decode_pixels, decoding, encode_png
from pps_torch.io.image_files import (
    COLORS,
    IDS,
    SEGMENTS,
    Wanted,
    opened_image,
    read_checked_header,
    read_content,
)
from pps_torch.io.image_header import Header
from pps_torch.io.image_kinds import read_header
from pps_torch.io.png_files import read_chunks
from pps_torch.io.tiff_files import check_tiff

#: Bytes of a file that is read only after its header; to read less at once takes less time.
_LARGE = 1 << 24

_PHOTO_FORMATS = ("PNG", "TIFF", "BMP", "JPEG", "WEBP")


def read_id_map(path: Path | str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a map with one id per pixel: a PNG, TIFF or BMP that is grey or has a palette.

    [The table of what is read][pps_torch.io.image_kinds] says with which bits, byte order and
    compression. An alpha channel has to be 255 everywhere.

    Args:
        path: the file.
        size: the (height, width) that it must have.

    Returns:
        (H, W) uint8 or int32.

    Raises:
        InputError: missing, damaged, no image or several in one file, of another kind or size, ids
            of 2**31 and more.
    """
    header, ids = read_pixels(path, IDS, size)
    if ids.ndim == 3:
        ids = ids[..., 0]  # the other one is opaque
    if ids.dtype == np.int32 and header.numbers == "unsigned" and ids.min() < 0:
        found = ids.view(np.uint32).max()
        raise InputError(f"{path}: expected ids below 2**31, found {found}")
    dtype = np.uint8 if ids.dtype.itemsize == 1 else np.int32
    return np.require(ids.astype(dtype, copy=False), requirements=["C", "W"])


def read_rgb_ids(path: Path | str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a COCO panoptic PNG: (H, W) int32 ids `R + 256 G + 65536 B`.

    A grey PNG, as TAPPS writes predictions, has the ids as its levels. An RGB PNG that a program
    for smaller files has made grey does not; its ids are then not those in the JSON.

    Arguments and errors are those of [`read_id_map`][pps_torch.io.images.read_id_map].
    """
    return coded_ids(read_coded_ids(path, size))


def read_coded_ids(path: Path | str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a COCO panoptic PNG as it is stored: (H, W, 3) uint8 colours, or grey levels (H, W).

    Arguments and errors are those of [`read_id_map`][pps_torch.io.images.read_id_map].
    """
    pixels = read_pixels(path, SEGMENTS, size)[1]
    return pixels[..., :3] if pixels.ndim == 3 else pixels


def coded_ids(pixels: np.ndarray) -> np.ndarray:
    """The ids of what `read_coded_ids` reads: (H, W) int32."""
    return rgb_ids(pixels) if pixels.ndim == 3 else pixels.astype(np.int32)


def read_rgb(path: Path | str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image of three channels, such as a PPS PNG of 8 bits: (3, H, W) uint8.

    Arguments and errors are those of [`read_id_map`][pps_torch.io.images.read_id_map].
    """
    return np.ascontiguousarray(np.moveaxis(read_colors(path, size), 2, 0))


def read_colors(path: Path | str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image of three channels as it is stored: (H, W, 3) uint8.

    Arguments and errors are those of [`read_id_map`][pps_torch.io.images.read_id_map].
    """
    return read_pixels(path, COLORS, size)[1][..., :3]


def read_photo(path: Path | str, size: tuple[int, int]) -> np.ndarray:
    """Read a picture as (3, H, W) uint8, upright and resized to (height, width) `size`.

    Levels of 16 bits are scaled to 8.

    Raises:
        InputError: missing, damaged, no image or several in one file.
    """
    path = Path(path)
    with opened_image(path) as file:
        content = read_content(path, file)
    with decoding(path):
        image = PIL.Image.open(io.BytesIO(content), formats=_PHOTO_FORMATS)
        _check_photo(path, content, image)
        image.load()
        photo = _as_rgb(path, PIL.ImageOps.exif_transpose(image))
    if (photo.height, photo.width) != size:
        photo = photo.resize((size[1], size[0]), PIL.Image.Resampling.BICUBIC)
    return np.stack([np.asarray(channel) for channel in photo.split()])


def write_rgb_ids(path: Path | str, ids: np.ndarray, outdated: Iterable[Path] = ()) -> None:
    """Write a COCO panoptic PNG in one step.

    Args:
        path: the file.
        ids: (H, W) integers 0..16777215.
        outdated: files that would not fit the new one; they are deleted just before it appears.

    Raises:
        TypeError, ValueError: ids of another dtype, or that 24 bits do not hold.
    """
    colors = id_colors(_as_dtype(ids, "<i4", 0, 2**24 - 1))
    write_file(Path(path), encode_png(interleaved(np.moveaxis(colors, 2, 0))), outdated)


def write_rgb(path: Path | str, channels: np.ndarray) -> None:
    """Write a picture or a PPS map, (3, H, W) uint8, as a PNG in one step."""
    if channels.dtype != np.uint8:
        raise TypeError(f"channels: expected uint8, found {channels.dtype}")
    write_file(Path(path), encode_png(interleaved(channels)))


def write_id_map(path: Path | str, ids: np.ndarray) -> None:
    """Write a map with one id per pixel in one step, by the ending of `path`.

    Args:
        path: a .png gets 8 bits, a .tif or .tiff 32.
        ids: (H, W) integers: 0..255 for a PNG, those of int32 for a TIFF.

    Raises:
        TypeError, ValueError: ids of another dtype, or that the file does not hold.
        InputError: another ending.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".png":
        content = encode_png(_as_dtype(ids, np.uint8, 0, 255))
    elif suffix in (".tif", ".tiff"):
        image = PIL.Image.fromarray(_as_dtype(ids, np.int32, -(2**31), 2**31 - 1))
        buffer = io.BytesIO()
        image.save(buffer, "TIFF", compression="tiff_adobe_deflate")
        content = buffer.getvalue()
    else:
        raise InputError(f"{path}: expected a name that ends with .png, .tif or .tiff")
    write_file(path, content)


def _as_dtype(ids: np.ndarray, dtype: npt.DTypeLike, lowest: int, highest: int) -> np.ndarray:
    """Convert ids to the dtype of a file, contiguous; it has to hold them."""
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids: expected integers, found {ids.dtype}")
    if ids.size and not (lowest <= ids.min() and ids.max() <= highest):
        found = f"{ids.min()} to {ids.max()}"
        raise ValueError(f"ids: expected {lowest} to {highest}, found {found}")
    return np.ascontiguousarray(ids, dtype)


def interleaved(channels: np.ndarray, dtype: npt.DTypeLike = np.uint8) -> np.ndarray:
    """(3, H, W) as (H, W, 3) of a dtype that holds it; channel by channel, in half of the time."""
    pixels = np.empty((*channels.shape[1:], 3), dtype)
    for place, channel in enumerate(channels):
        pixels[..., place] = channel
    return pixels


def read_pixels(
    path: Path | str, wanted: Wanted, size: tuple[int, int] | None
) -> tuple[Header, np.ndarray]:
    """Read a map as it is stored; its kind and size are checked before its pixels are decoded.

    Args:
        path: the file.
        wanted: the channels that it must have.
        size: the (height, width) that it must have.

    Returns:
        what the file says of itself, and `(H, W)` or `(H, W, C)`; the last channel of an image with
        alpha is 255 everywhere.

    Raises:
        InputError: as [`read_id_map`][pps_torch.io.images.read_id_map] does.
    """
    path = Path(path)
    with opened_image(path, buffering=0) as file:
        if os.fstat(file.fileno()).st_size > _LARGE:
            read_checked_header(path, file, wanted, size)  # so that nothing is read in vain
        content = read_content(path, file)
    header = read_checked_header(path, io.BytesIO(content), wanted, size)
    with decoding(path):
        pixels = decode_pixels(header, content)
    if "alpha" in header.channels and (lowest := pixels[..., -1].min()) != 255:
        raise InputError(
            f"{path}: expected {wanted.description}, found {header}, alpha down to {lowest}; it "
            "has to be 255 everywhere"
        )
    return header, pixels


def _check_photo(path: Path, content: bytes, image: PIL.Image.Image) -> None:
    """Check what Pillow would read wrongly, or leave out."""
    frames = getattr(image, "n_frames", 1)
    if image.format == "WEBP" and frames > 1:
        raise InputError(f"{path}: expected one picture, found {frames} frames")
    if image.format not in ("PNG", "TIFF", "BMP"):
        return
    header = read_header(io.BytesIO(content))
    if header.pictures != 1:
        raise InputError(f"{path}: expected one picture, found {header.pictures} (pages or frames)")
    is_odd = header.bits not in (1, 2, 4, 8, 16) or header.numbers != "unsigned"
    if header.format == "TIFF":
        check_tiff(header, io.BytesIO(content))
        is_odd |= header.peculiarity.startswith(("one plane", "predictor", "the sizes"))
    # Pillow takes a palette of grey levels for levels, whatever the bits of an index.
    is_odd |= (
        header.format == "BMP" and image.mode in "1L" and header.bits != 8 ** (image.mode == "L")
    )
    if is_odd:
        raise InputError(
            f"{path}: expected a photo of 8 or 16 bits, found {header}, which is not read"
        )
    if header.format == "PNG":
        read_chunks(content)


def _as_rgb(path: Path, image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
        return PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")

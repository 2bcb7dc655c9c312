"""Image files: id maps, RGB ids and PPS maps, whose pixels are read as they are, and photos."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageOps
import PIL.PngImagePlugin  # with the formats named here, Pillow need not load its others
import PIL.TiffImagePlugin

from pps_torch.io.atomic import write_file
from pps_torch.io.bmp_files import read_bmp_pixels
from pps_torch.io.errors import InputError
from pps_torch.io.image_header import Header
from pps_torch.io.image_kinds import ONE_CHANNEL, THREE_CHANNELS, check_kind, read_header
from pps_torch.io.image_list import MOST_PIXELS
from pps_torch.io.png_files import check_png, check_png_rows, is_interlaced
from pps_torch.io.tiff_files import check_tiff
from pps_torch.reading import open_regular


class _Wanted(NamedTuple):
    """The channels that a reader accepts, and their description in errors."""

    channels: tuple[str, ...]
    description: str


_IDS = _Wanted(ONE_CHANNEL, "one channel of ids")
_COLORS = _Wanted(THREE_CHANNELS, "three channels of 8 bits (RGB)")
_SEGMENTS = _Wanted(
    (*THREE_CHANNELS, "grey"), "three channels of 8 bits (RGB), or grey levels that are the ids"
)
_EITHER = _Wanted(ONE_CHANNEL + THREE_CHANNELS, "one channel of ids, or three of 8 bits")

_PHOTO_FORMATS = ("PNG", "TIFF", "BMP", "JPEG", "WEBP")

#: Pixels that are converted at once.
_BLOCK = 1 << 21

#: More than the pixels of any image that is read, stored as 32 bits each.
_MOST_BYTES = 1 << 30

# What Pillow raises for damaged files, format by format.
_DAMAGES = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    AttributeError,
    struct.error,
    zlib.error,
    PIL.Image.DecompressionBombError,
)


def read_id_map(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
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
    header, image = _read_image(path, _IDS, size)
    if image.mode == "LA":
        image = image.getchannel("L")
    ids = np.array(image)
    if ids.dtype == np.int32 and header.numbers == "unsigned" and ids.min() < 0:
        found = ids.view(np.uint32).max()
        raise InputError(f"{path}: expected ids below 2**31, found {found}")
    return ids if ids.dtype == np.uint8 else ids.astype(np.uint8 if ids.dtype == bool else np.int32)


def read_rgb_ids(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a COCO panoptic PNG: (H, W) int32 ids `R + 256 G + 65536 B`.

    A grey PNG, as TAPPS writes predictions, has the ids as its levels. An RGB PNG that a program
    for smaller files has made grey does not; its ids are then not those in the JSON.

    Arguments and errors are those of [`read_id_map`][pps_torch.io.images.read_id_map].
    """
    header, image = _read_image(path, _SEGMENTS, size)
    if header.channels == "grey":
        return np.array(image).astype(np.int32)
    height, width = header.height, header.width
    ids = np.empty((height, width), np.int32)
    rows = max(1, _BLOCK // width)
    for top in range(0, height, rows):  # a large image is not held three times
        block = image.crop((0, top, width, min(top + rows, height))) if rows < height else image
        pixels = block.tobytes("raw", "RGBX" if image.mode == "RGB" else "RGBA")
        np.bitwise_and(
            np.frombuffer(pixels, "<i4").reshape(-1, width), 0xFFFFFF, out=ids[top : top + rows]
        )
    return ids


def read_pps(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a 3-channel PPS PNG: (3, H, W) uint8 class, instance, part.

    Arguments and errors are those of [`read_id_map`][pps_torch.io.images.read_id_map].
    """
    _, image = _read_image(path, _COLORS, size)
    return np.stack([np.asarray(channel) for channel in image.split()[:3]])


def read_photo(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read a picture as (3, H, W) uint8, upright and resized to (height, width) `size`.

    Levels of 16 bits are scaled to 8.

    Raises:
        InputError: missing, damaged, no image or several in one file.
    """
    with _opened(path) as file:
        content = _read_content(path, file)
    with _damages(path):
        content.seek(0)
        image = PIL.Image.open(content, formats=_PHOTO_FORMATS)
        _check_photo(path, content, image)
        image.load()
        photo = _as_rgb(path, PIL.ImageOps.exif_transpose(image))
    if (photo.height, photo.width) != size:
        photo = photo.resize((size[1], size[0]), PIL.Image.Resampling.BICUBIC)
    return np.stack([np.asarray(channel) for channel in photo.split()])


def check_id_map(path: Path, size: tuple[int, int]) -> None:
    """Raise the errors of [`read_id_map`][pps_torch.io.images.read_id_map], by the first bytes."""
    with _opened(path) as file:
        _read_header(path, file, _IDS, size)


def read_size(path: Path) -> tuple[int, int]:
    """Read (height, width) of a PNG, TIFF or BMP from its first bytes."""
    with _opened(path) as file:
        header = _read_header(path, file)
    return header.height, header.width


def count_channels(path: Path) -> int:
    """Read from the first bytes whether a map has one id per pixel (1) or is RGB (3)."""
    with _opened(path) as file:
        header = _read_header(path, file, _EITHER)
    return 3 if header.channels in THREE_CHANNELS else 1


def write_rgb_ids(path: Path, ids: np.ndarray, outdated: Iterable[Path] = ()) -> None:
    """Write a COCO panoptic PNG in one step.

    Args:
        path: the file.
        ids: (H, W) integers 0..16777215.
        outdated: files that would not fit the new one; they are deleted just before it appears.
    """
    height, width = ids.shape
    pixels = np.ascontiguousarray(ids, "<i4").tobytes()
    image = PIL.Image.frombytes("RGB", (width, height), pixels, "raw", "RGBX")
    _write_png(path, image, outdated)


def write_rgb(path: Path, channels: np.ndarray) -> None:
    """Write a picture or a PPS map, (3, H, W) uint8, as a PNG in one step."""
    _write_png(path, PIL.Image.merge("RGB", [PIL.Image.fromarray(plane) for plane in channels]))


def write_id_map(path: Path, ids: np.ndarray) -> None:
    """Write (H, W) ids in one step, by the ending of `path`: uint8 as PNG, int32 as TIFF."""
    image = PIL.Image.fromarray(np.ascontiguousarray(ids))
    if path.suffix.lower() == ".png":
        _write_png(path, image)
        return
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression="tiff_adobe_deflate")
    write_file(path, buffer.getvalue())


def count_ids(ids: np.ndarray) -> dict[int, int]:
    """Count the pixels of each id of a map."""
    if ids.dtype == np.uint8:
        counts = PIL.Image.fromarray(ids).histogram()  # three times as fast as np.bincount
        return {value: count for value, count in enumerate(counts) if count}
    if ids.size and ids.min() >= 0 and ids.max() < 1 << 16:
        counts = np.bincount(ids.reshape(-1))
        values = np.flatnonzero(counts)
        return dict(zip(values.tolist(), counts[values].tolist()))
    values, counts = np.unique(ids, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist()))


def encode_png(image: PIL.Image.Image) -> bytes:
    """Encode an image as a PNG, fast rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _write_png(path: Path, image: PIL.Image.Image, outdated: Iterable[Path] = ()) -> None:
    write_file(path, encode_png(image), outdated)


def _read_image(
    path: Path, wanted: _Wanted, size: tuple[int, int] | None
) -> tuple[Header, PIL.Image.Image]:
    """Read a map; its kind and size are checked before its pixels are decoded."""
    with _opened(path) as file:
        header = _read_header(path, file, wanted, size)
        content = _read_content(path, file)
    with _damages(path):
        image = _decode(header, content)
    if "alpha" in header.channels and (lowest := image.getchannel("A").getextrema()[0]) != 255:
        raise InputError(
            f"{path}: expected {wanted.description}, found {header}, alpha down to {lowest}; it "
            "has to be 255 everywhere"
        )
    return header, image


def _decode(header: Header, content: BinaryIO) -> PIL.Image.Image:
    """Decode all pixels of a map; what the file does not hold is an error."""
    if header.format == "BMP":
        return PIL.Image.fromarray(read_bmp_pixels(content))
    if header.format == "PNG":
        check_png(content)
    image = PIL.Image.open(content, formats=(header.format,))
    if (image.height, image.width) != (header.height, header.width):
        raise ValueError(f"its size is also said to be {image.height} x {image.width}")
    image.load()
    if header.format == "PNG":
        _check_rows(content, image)
    return image


def _check_rows(content: BinaryIO, image: PIL.Image.Image) -> None:
    """Check that a PNG holds all rows: Pillow leaves those zero that are missing at the end."""
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    if is_interlaced(content) or not np.asarray(last_row).any():
        check_png_rows(content)


def _check_photo(path: Path, content: BinaryIO, image: PIL.Image.Image) -> None:
    """Check what Pillow would read wrongly, or leave out."""
    frames = getattr(image, "n_frames", 1)
    if image.format == "WEBP" and frames > 1:
        raise InputError(f"{path}: expected one picture, found {frames} frames")
    if image.format not in ("PNG", "TIFF", "BMP"):
        return
    header = read_header(content)
    if header.pictures != 1:
        raise InputError(f"{path}: expected one picture, found {header.pictures} (pages or frames)")
    is_odd = header.bits not in (1, 2, 4, 8, 16) or header.numbers != "unsigned"
    if header.format == "TIFF":
        check_tiff(content)
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
        check_png(content)


def _as_rgb(path: Path, image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
        return PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _read_header(
    path: Path,
    file: BinaryIO,
    wanted: _Wanted | None = None,
    size: tuple[int, int] | None = None,
) -> Header:
    """Read and check what an image says of itself."""
    try:
        header = read_header(file)
    except (OverflowError, ValueError) as error:
        raise InputError(f"{path}: expected an image, found {error}") from error
    pixels = header.height * header.width
    if pixels > MOST_PIXELS:
        raise InputError(
            f"{path}: expected an image of at most {MOST_PIXELS} pixels, found {pixels}"
        )
    try:
        check_kind(header, *(wanted or (None, "an image")))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if size is not None and (header.height, header.width) != tuple(size):
        raise InputError(
            f"{path}: expected height x width {size[0]} x {size[1]}, "
            f"found {header.height} x {header.width}"
        )
    if header.format == "TIFF":
        with _damages(path):
            check_tiff(file)
    return header


def _read_content(path: Path, file: BinaryIO) -> io.BytesIO:
    """Read a whole file; what is decoded cannot change any more, as a file in a map could."""
    if os.fstat(file.fileno()).st_size > _MOST_BYTES:
        raise InputError(f"{path}: expected an image of at most {_MOST_BYTES} bytes, found more")
    file.seek(0)
    return io.BytesIO(file.read())


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file."""
    try:
        with open_regular(path) as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected an image, found no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def _damages(path: Path) -> Iterator[None]:
    """Turn what a decoder raises into an error that names the file."""
    try:
        yield
    except InputError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise InputError(
            f"{path}: expected an image, found no image format in it that is read here"
        ) from error
    except _DAMAGES as error:
        raise InputError(
            f"{path}: expected a complete image, found it damaged or cut off: {error}"
        ) from error

"""Image files: id maps, RGB ids and PPS maps, whose pixels are read as they are, and photos."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.BmpImagePlugin  # with the formats named here, Pillow need not load its others
import PIL.Image
import PIL.PngImagePlugin
from PIL.TiffImagePlugin import SAMPLEFORMAT, TiffImageFile

from pps_torch.io.atomic import write_file
from pps_torch.io.errors import InputError
from pps_torch.io.png_chunks import check_png


class _Modes(NamedTuple):
    """The modes of Pillow that a reader accepts, and their description in errors."""

    modes: tuple[str, ...]
    description: str


# A palette image's pixels are indices, not colours.
_ONE_CHANNEL = _Modes(("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N"), "one channel of ids")
_THREE_CHANNELS = _Modes(("RGB",), "three channels of 8 bits (RGB)")
_ONE_OR_THREE = _Modes(_ONE_CHANNEL.modes + ("RGB",), "one channel of ids, or three of 8 bits")
_ANY = _Modes((), "an image")

_ID_FORMATS = ("PNG", "TIFF", "BMP")
_PHOTO_FORMATS = (*_ID_FORMATS, "JPEG", "WEBP")
_LOSSLESS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma")

# Pillow's names of stored pixels whose values it would scale, invert or leave out.
_ALTERED = re.compile(r"L;[24].*|1;IR?|L;IR?|[LP]X+|(RGB|BGR)X+")

_MODE_NAMES = {
    "1": "one channel of 1 bit",
    "L": "one channel",
    "P": "one channel with a palette",
    "LA": "one channel and an alpha channel",
    "PA": "a palette and an alpha channel",
    "RGB": "three channels (RGB)",
    "RGBA": "three channels and an alpha channel (RGBA)",
    "I": "one channel of 32 bits",
    "I;16": "one channel of 16 bits",
    "F": "one channel of floating point",
}

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
    struct.error,
    zlib.error,
)


def read_id_map(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a map with one id per pixel: a PNG, TIFF or BMP that is grey or has a palette.

    Grey levels have 1, 8 or 16 bits, in a TIFF also 32. Those of 2 and 4 bits are refused, as
    Pillow scales them.

    Args:
        path: the file.
        size: the (height, width) that it must have.

    Returns:
        (H, W) uint8 or int32.

    Raises:
        InputError: missing, damaged or no image, several channels, another size or depth, ids
            of 2**31 and more.
    """
    with _opened(path, _ONE_CHANNEL, size) as image:
        ids = np.array(image)
        if ids.dtype == np.int32 and ids.min() < 0 and not _is_signed(image):
            found = ids.view(np.uint32).max()
            raise InputError(f"{path}: expected ids below 2**31, found {found}")
    return ids if ids.dtype == np.uint8 else ids.astype(np.uint8 if ids.dtype == bool else np.int32)


def read_rgb_ids(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a COCO panoptic PNG: (H, W) int32 ids `R + 256 G + 65536 B`.

    Arguments and errors are those of [`read_id_map`][pps_torch.io.images.read_id_map].
    """
    with _opened(path, _THREE_CHANNELS, size) as image:
        height, width = image.height, image.width
        pixels = np.frombuffer(image.tobytes("raw", "RGBX"), "<i4")
    return (pixels & 0xFFFFFF).reshape(height, width)


def read_pps(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a 3-channel PPS PNG: (3, H, W) uint8 class, instance, part.

    Arguments and errors are those of [`read_id_map`][pps_torch.io.images.read_id_map].
    """
    with _opened(path, _THREE_CHANNELS, size) as image:
        return np.stack([np.asarray(channel) for channel in image.split()])


def read_photo(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read a picture as (3, H, W) uint8, resized to (height, width) `size`.

    Raises:
        InputError: missing, damaged or no image.
    """
    with _opened(path, _ANY, formats=_PHOTO_FORMATS) as image:
        photo = image.convert("RGB")
    if (photo.height, photo.width) != size:
        photo = photo.resize((size[1], size[0]), PIL.Image.Resampling.BICUBIC)
    return np.stack([np.asarray(channel) for channel in photo.split()])


def check_id_map(path: Path, size: tuple[int, int]) -> None:
    """Raise the errors of [`read_id_map`][pps_torch.io.images.read_id_map], by the first bytes."""
    with _opened(path, _ONE_CHANNEL, size, load=False):
        pass


def read_size(path: Path) -> tuple[int, int]:
    """Read (height, width) of an image from its first bytes."""
    with _opened(path, _ANY, load=False) as image:
        return image.height, image.width


def count_channels(path: Path) -> int:
    """Read from the first bytes whether a map has one id per pixel (1) or is RGB (3)."""
    with _opened(path, _ONE_OR_THREE, load=False) as image:
        return 3 if image.mode == "RGB" else 1


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


@contextmanager
def _opened(
    path: Path,
    accepted: _Modes,
    size: tuple[int, int] | None = None,
    load: bool = True,
    formats: tuple[str, ...] = _ID_FORMATS,
) -> Iterator[PIL.Image.Image]:
    """Open an image file; its mode and size are checked before its pixels are decoded."""
    try:
        image = PIL.Image.open(str(path), formats=formats)  # Pillow 10 resolves a Path, and loops
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected an image, found no such file") from error
    except PIL.UnidentifiedImageError as error:
        raise InputError(
            f"{path}: expected an image, found no image format in it that is read here "
            f"({', '.join(formats)})"
        ) from error
    except (PIL.Image.DecompressionBombError, *_DAMAGES) as error:
        raise InputError(f"{path}: expected an image, found: {error}") from error
    with image:
        _check_mode(path, image, accepted)
        if size is not None and (image.height, image.width) != tuple(size):
            raise InputError(
                f"{path}: expected height x width {size[0]} x {size[1]}, "
                f"found {image.height} x {image.width}"
            )
        if load:
            _load(path, image)
        yield image


def _check_mode(path: Path, image: PIL.Image.Image, accepted: _Modes) -> None:
    """Raise InputError unless Pillow reads the pixels as they are stored, in an accepted mode."""
    if not accepted.modes:
        return
    compression = image.info.get("compression", "raw")
    if image.format == "TIFF" and compression not in _LOSSLESS:
        raise InputError(f"{path}: expected a lossless compression, found {compression}")
    stored = _stored_modes(image)
    is_deep = image.mode == "RGB" and any("16" in mode for mode in stored)
    if altered := [mode for mode in stored if _ALTERED.fullmatch(mode)]:
        raise InputError(
            f"{path}: expected {accepted.description}, found pixels that are not read as they are "
            f"stored: levels of 2 or 4 bits, inverted levels or a spare channel ({altered[0]})"
        )
    if image.mode not in accepted.modes or is_deep:
        found = _MODE_NAMES.get(image.mode, f"Pillow's mode {image.mode}")
        depth = " of 16 bits each" if is_deep else ""
        raise InputError(f"{path}: expected {accepted.description}, found {found}{depth}")


def _stored_modes(image: PIL.Image.Image) -> list[str]:
    """Pillow's names of the pixels as the file has them, tile by tile."""
    tiles = getattr(image, "tile", None) or ()  # Pillow 10 has None in a PNG without pixels
    arguments = (tile[3] for tile in tiles if tile[3])
    return [str(argument[0] if isinstance(argument, tuple) else argument) for argument in arguments]


def _is_signed(image: PIL.Image.Image) -> bool:
    """Whether a TIFF says that its numbers are signed; Pillow reads all 32-bit ones as signed."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(SAMPLEFORMAT) == (2,)


def _load(path: Path, image: PIL.Image.Image) -> None:
    try:
        check_png(path)
        image.load()
    except _DAMAGES as error:
        raise InputError(
            f"{path}: expected a complete image, found it damaged or cut off: {error}"
        ) from error

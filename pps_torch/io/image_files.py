"""Image files before any pixel is decoded: opened, their headers read and checked."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pps_torch.io.deflate import zlib
from pps_torch.io.errors import InputError
from pps_torch.io.image_header import Header
from pps_torch.io.image_kinds import (
    DEEP_COLORS,
    ONE_CHANNEL,
    THREE_CHANNELS,
    Kind,
    check_kind,
    read_header,
)
from pps_torch.io.image_list import MOST_PIXELS
from pps_torch.io.tiff_files import check_tiff
from pps_torch.reading import open_regular


class Wanted(NamedTuple):
    """The channels that a reader accepts, their description in errors, and further kinds."""

    channels: tuple[str, ...]
    description: str
    kinds: tuple[Kind, ...] = ()


IDS = Wanted(ONE_CHANNEL, "one channel of ids")
COLORS = Wanted(THREE_CHANNELS, "three channels of 8 bits (RGB)")
SEGMENTS = Wanted(
    (*THREE_CHANNELS, "grey"), "three channels of 8 bits (RGB), or grey levels that are the ids"
)
PPS_MAPS = Wanted(
    (*THREE_CHANNELS, "grey"),
    "three channels of 8 or 16 bits (RGB), or uids as grey levels of 16 bits",
    (DEEP_COLORS,),
)
EITHER = Wanted(ONE_CHANNEL + THREE_CHANNELS, "one channel of ids, or three of 8 bits")

#: More than the pixels of any image that is read, stored as 32 bits each.
_MOST_BYTES = 1 << 30

# What decoders raise for damaged files, format by format.
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
)


def check_id_map(path: Path, size: tuple[int, int]) -> None:
    """Raise the errors of [`read_id_map`][pps_torch.io.images.read_id_map], by the first bytes."""
    with opened_image(path) as file:
        read_checked_header(path, file, IDS, size)


def read_size(path: Path) -> tuple[int, int]:
    """Read (height, width) of a PNG, TIFF or BMP from its first bytes."""
    with opened_image(path) as file:
        header = read_checked_header(path, file)
    return header.height, header.width


def count_channels(path: Path) -> int:
    """Read from the first bytes whether a map has one id per pixel (1) or is RGB (3)."""
    with opened_image(path) as file:
        header = read_checked_header(path, file, EITHER)
    return 3 if header.channels in THREE_CHANNELS else 1


@contextmanager
def opened_image(path: Path, buffering: int = -1) -> Iterator[BinaryIO]:
    """Open a regular file, see `open_regular`.

    Raises:
        InputError: it is missing or cannot be read.
    """
    try:
        with open_regular(path, buffering) as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"{path}: expected an image, found no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def check_not_too_large(path: Path, found: tuple[int, int]) -> None:
    """Raise InputError if an image of `found`, (height, width), has more pixels than are read."""
    pixels = found[0] * found[1]
    if pixels > MOST_PIXELS:
        raise InputError(
            f"{path}: expected an image of at most {MOST_PIXELS} pixels, found {pixels}"
        )


def check_size(path: Path, found: tuple[int, int], size: tuple[int, int]) -> None:
    """Raise InputError unless an image of `found`, (height, width), has the wanted size."""
    if found != tuple(size):
        raise InputError(
            f"{path}: expected height x width {size[0]} x {size[1]}, found {found[0]} x {found[1]}"
        )


def read_checked_header(
    path: Path,
    file: BinaryIO,
    wanted: Wanted | None = None,
    size: tuple[int, int] | None = None,
) -> Header:
    """Read and check what an image says of itself.

    Args:
        path: for messages.
        file: the image.
        wanted: the channels that it must have; None for any.
        size: the (height, width) that it must have; None for any.

    Raises:
        InputError: it is no image, damaged, too large, or of another kind or size.
    """
    try:
        header = read_header(file)
    except (OverflowError, ValueError) as error:
        raise InputError(f"{path}: expected an image, found {error}") from error
    found = header.height, header.width
    check_not_too_large(path, found)
    try:
        check_kind(header, *(wanted or (None, "an image")))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if size is not None:
        check_size(path, found, size)
    if header.format == "TIFF":
        with damages(path):
            check_tiff(header, file)
    return header


def read_content(path: Path, file: BinaryIO) -> bytes:
    """Read a whole file; what is decoded cannot change any more, as a file in a map could.

    Args:
        path: for messages.
        file: the image, wherever it stands.

    Raises:
        InputError: it is larger than any image that is read.
    """
    if os.fstat(file.fileno()).st_size > _MOST_BYTES:
        raise InputError(f"{path}: expected an image of at most {_MOST_BYTES} bytes, found more")
    file.seek(0)
    return file.read()


@contextmanager
def damages(path: Path) -> Iterator[None]:
    """Turn what a decoder raises into an error that names the file."""
    try:
        yield
    except InputError:
        raise
    except _DAMAGES as error:
        raise InputError(
            f"{path}: expected a complete image, found it damaged or cut off: {error}"
        ) from error

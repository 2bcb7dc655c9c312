"""What is read of images: format, channels, bits, byte order and compression, in one table.

Of these kinds the pixels are the numbers that the file holds, whatever the version of Pillow.
Everything else is refused by name.
"""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

from pps_torch.io.bmp_files import read_bmp_header
from pps_torch.io.image_header import Header
from pps_torch.io.png_files import read_png_header
from pps_torch.io.tiff_files import LOSSLESS, read_tiff_header

#: Channels that hold one id per pixel; a palette's pixels are indices, not colours.
ONE_CHANNEL = ("grey", "palette", "grey and alpha")
THREE_CHANNELS = ("RGB", "RGB and alpha")


class Kind(NamedTuple):
    """A row of the table: images that are read.

    Attributes:
        format: `PNG`, `TIFF` or `BMP`.
        channels: one of `ONE_CHANNEL` or `THREE_CHANNELS`; alpha has to be opaque everywhere.
        bits: of each channel.
        numbers: `unsigned` or `signed`.
        byte_order: `little-endian` or `big-endian`; empty where the format has only one.
        compressions: those of a TIFF.
    """

    format: str
    channels: str
    bits: tuple[int, ...]
    numbers: str = "unsigned"
    byte_order: str = ""
    compressions: tuple[str, ...] = ("",)


_LITTLE, _BIG = "little-endian", "big-endian"

KINDS = (
    Kind("PNG", "grey", (1, 8, 16)),
    Kind("PNG", "grey and alpha", (8,)),
    Kind("PNG", "palette", (1, 2, 4, 8)),
    Kind("PNG", "RGB", (8,)),
    Kind("PNG", "RGB and alpha", (8,)),
    Kind("BMP", "palette", (1, 4, 8)),
    Kind("BMP", "RGB", (8,)),
    Kind("TIFF", "grey", (1, 8, 16, 32), "unsigned", _LITTLE, LOSSLESS),
    Kind("TIFF", "grey", (16, 32), "signed", _LITTLE, LOSSLESS),
    Kind("TIFF", "grey", (1, 8, 16), "unsigned", _BIG, LOSSLESS),
    Kind("TIFF", "grey", (16, 32), "signed", _BIG, ("none",)),
    *(
        Kind("TIFF", channels, bits, "unsigned", byte_order, LOSSLESS)
        for channels, bits in (
            ("palette", (1, 2, 4, 8)),
            ("grey and alpha", (8,)),
            ("RGB", (8,)),
            ("RGB and alpha", (8,)),
        )
        for byte_order in (_LITTLE, _BIG)
    ),
)

#: What only a PPS map may be.
DEEP_COLORS = Kind("PNG", "RGB", (16,))

_READERS = {
    b"\x89PNG": read_png_header,
    b"BM": read_bmp_header,
    b"II*\0": read_tiff_header,
    b"MM\0*": read_tiff_header,
    b"II+\0": read_tiff_header,
    b"MM\0+": read_tiff_header,
}
_OTHERS = {
    b"\xff\xd8\xff": "a JPEG, which does not keep ids",
    b"GIF8": "a GIF",
    b"RIFF": "a WebP",
    b"\0\0\0\x0cjP": "a JPEG 2000",
    b"\x93NUMPY": "an array of NumPy",
    b"\x1f\x8b": "something that gzip has compressed",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF": "a PDF",
    b"version https://git-lfs": "a pointer of Git LFS; `git lfs pull` fetches the file",
    b"<!DOCTYPE": "an HTML page",
    b"<html": "an HTML page",
}


def read_header(file: BinaryIO) -> Header:
    """Read what a PNG, TIFF or BMP says of its pixels; none of them is decoded.

    Raises:
        ValueError: it is none of these, or its header is damaged.
    """
    file.seek(0)
    beginning = file.read(24)
    for signature, read in _READERS.items():
        if beginning.startswith(signature):
            return read(file)
    other = next((name for start, name in _OTHERS.items() if beginning.startswith(start)), None)
    if not beginning:
        other = "an empty file"
    raise ValueError(other or "no image format in it that is read here (PNG, TIFF, BMP)")


def check_kind(
    header: Header,
    channels: tuple[str, ...] | None,
    description: str,
    more: tuple[Kind, ...] = (),
) -> None:
    """Check that an image is of a kind that is read.

    Args:
        header: of the image.
        channels: those that are wanted; None for any, whatever their kind.
        description: what they are, for the message.
        more: kinds that are read beside those of the table.

    Raises:
        ValueError: says what was expected and found.
    """
    if header.pictures != 1:
        raise ValueError(f"expected one picture, found {header.pictures} (pages or frames)")
    if channels is None:
        return
    if header.channels not in channels:
        raise ValueError(f"expected {description}, found {header}")
    if header.format == "TIFF" and header.compression not in LOSSLESS:
        raise ValueError(f"expected a lossless compression, found {header.compression}")
    if header.peculiarity or not any(_fits(header, k) for k in (*KINDS, *more)):
        raise ValueError(f"expected {description}, found {header}, which is not read")


def _fits(header: Header, kind: Kind) -> bool:
    return (
        (header.format, header.channels) == (kind.format, kind.channels)
        and header.bits in kind.bits
        and header.numbers == kind.numbers
        and kind.byte_order in ("", header.byte_order)
        and header.compression in kind.compressions
    )

"""PNG: its header, and whether it holds what it says; Pillow checks neither sums nor rows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from pps_torch.io.image_header import Header

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIECE = 1 << 20
_CHANNELS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
_NUM_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

#: (first column, first row, step of columns, step of rows) of the passes of an interlaced PNG.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_PASSES += ((0, 1, 1, 2),)


def read_png_header(file: BinaryIO) -> Header:
    """Read the chunks before the pixels.

    Raises:
        ValueError: they are damaged.
    """
    width, height, depth, color = struct.unpack(">IIBB", _first_chunk(file)[:10])
    pictures = 1
    for kind, length in _heads(file):
        if kind == b"IDAT":
            break
        if kind == b"acTL":
            pictures = int.from_bytes(file.read(4), "big")
            length -= 4
        file.seek(length + 4, 1)
    return Header("PNG", height, width, _CHANNELS[color], depth, pictures=pictures)


def check_png(file: BinaryIO) -> None:
    """Check the checksums of a PNG.

    Raises:
        ValueError: a chunk is damaged, or the file ends before its last chunk.
    """
    file.seek(len(_SIGNATURE))
    for kind, length in _heads(file):
        if _checksum(file, length, zlib.crc32(kind)) != file.read(4):
            raise ValueError(f"the checksum of its chunk {kind!r} is wrong")


def check_png_rows(file: BinaryIO) -> None:
    """Check that the compressed data of a PNG hold all rows.

    Raises:
        ValueError: they hold less.
    """
    expected = _num_bytes(_first_chunk(file))
    packed, found = zlib.decompressobj(), 0
    for kind, length in _heads(file):
        data = file.read(length)
        file.seek(4, 1)
        while kind == b"IDAT" and data and found < expected:
            found += len(packed.decompress(data, _PIECE))
            data = packed.unconsumed_tail
    if found < expected:
        raise ValueError(f"expected {expected} bytes of pixels in it, found {found}")


def is_interlaced(file: BinaryIO) -> bool:
    """Whether the rows of a PNG come in seven passes."""
    return _first_chunk(file)[12] != 0


def _first_chunk(file: BinaryIO) -> bytes:
    """The content of IHDR; the file stands behind it."""
    file.seek(0)
    content = file.read(33)
    header = content[16:29]
    if content[:16] != _SIGNATURE + b"\0\0\0\rIHDR" or len(content) < 33:
        raise ValueError("a PNG that does not begin with its header")
    width, height, depth, color, *_, interlace = struct.unpack(">IIBBBBB", header)
    if not width or not height or depth not in _DEPTHS.get(color, ()) or interlace > 1:
        raise ValueError("a PNG with a header that means nothing")
    return header


def _heads(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and length of each chunk up to IEND; the caller moves on behind its checksum."""
    kind = b""
    while kind != b"IEND":
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("it ends before its last chunk")
        length, kind = struct.unpack(">I4s", head)
        yield kind, length


def _checksum(file: BinaryIO, length: int, checksum: int) -> bytes:
    while length > 0:
        piece = file.read(min(length, _PIECE))
        if not piece:
            raise ValueError("it ends before its last chunk")
        checksum = zlib.crc32(piece, checksum)
        length -= len(piece)
    return struct.pack(">I", checksum)


def _num_bytes(header: bytes) -> int:
    """The bytes of all rows, each with its filter."""
    width, height, depth, color, *_, interlace = struct.unpack(">IIBBBBB", header)
    total = 0
    for left, top, step_x, step_y in _PASSES if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * depth * _NUM_CHANNELS[color] + 7) // 8)
    return total

"""PNG: its header and chunks, whose checksums Pillow does not look at, and a PNG of rows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pps_torch.io.deflate import zlib
from pps_torch.io.image_header import Header

if TYPE_CHECKING:
    import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHANNELS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
NUM_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

#: Of zlib-ng's levels the one that takes least time and space for rows of differences.
FAST = 2
#: And the one that makes a picture in flat colours as small as the slower ones do.
SMALL = 6


class Chunk(NamedTuple):
    """A part of a PNG."""

    kind: bytes
    data: memoryview


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


def png_of_rows(
    channels: str,
    width: int,
    rows: np.ndarray,
    bits: int = 8,
    *,
    palette: np.ndarray | None = None,
    level: int = FAST,
) -> bytes:
    """A PNG of rows that are filtered.

    Args:
        channels: `grey`, `RGB` or `palette`.
        width: pixels.
        rows: (H, 1 + bytes of a row) uint8, each row behind its filter.
        bits: of each channel; 16 are two bytes, the higher one first.
        palette: `(N, 3)` uint8, the colours of a palette.
        level: of zlib.
    """
    color = next(number for number, name in _CHANNELS.items() if name == channels)
    header = struct.pack(">IIBBBBB", width, len(rows), bits, color, 0, 0, 0)
    colors = [] if palette is None else [(b"PLTE", palette.tobytes())]
    packed = zlib.compress(rows.data, level)
    chunks = ((b"IHDR", header), *colors, (b"IDAT", packed), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def read_chunks(content: bytes) -> list[Chunk]:
    """Read the chunks of a PNG up to its last one, IEND, and check their checksums.

    Raises:
        ValueError: a chunk is damaged, or the file ends before its last chunk.
    """
    chunks: list[Chunk] = []
    place, view = len(_SIGNATURE), memoryview(content)
    while not chunks or chunks[-1].kind != b"IEND":
        if len(content) < place + 8:
            raise ValueError("it ends before its last chunk")
        length, kind = struct.unpack_from(">I4s", content, place)
        place += 8
        if len(content) < place + length:
            raise ValueError("it ends before its last chunk")
        data = view[place : place + length]
        place += length
        checksum = zlib.crc32(data, zlib.crc32(kind))
        if content[place : place + 4] != struct.pack(">I", checksum):
            raise ValueError(f"the checksum of its chunk {kind!r} is wrong")
        place += 4
        chunks.append(Chunk(kind, data))
    return chunks


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

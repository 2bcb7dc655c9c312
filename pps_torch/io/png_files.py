"""PNG: its header, and whether it holds what it says; Pillow checks neither sums nor rows."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from pps_torch.io.deflate import zlib
from pps_torch.io.image_header import Header

if TYPE_CHECKING:
    import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: Bytes that are taken and given at a time: few enough that memory is used again.
_PIECE = 1 << 17
_CHANNELS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
_NUM_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

#: (first column, first row, step of columns, step of rows) of the passes of an interlaced PNG.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_PASSES += ((0, 1, 1, 2),)

#: The filter of a row that is stored as its difference from the one above.
ABOVE = 2
#: The filter of a row that is stored as it is.
AS_IT_IS = 0

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


def check_rows(chunks: list[Chunk]) -> None:
    """Check that the compressed data of a PNG hold all rows.

    Raises:
        ValueError: they hold less.
        zlib.error: they are damaged, as their checksum says.
    """
    expected, found = _num_bytes(bytes(chunks[0].data)), _inflated(chunks)[0]
    if found < expected:
        raise ValueError(f"expected {expected} bytes of pixels in it, found {found}")


def is_plain(chunks: list[Chunk]) -> bool:
    """Whether a PNG has nothing but its header and its rows, in one pass, and holds them exactly.

    The checksum of the compressed data is right, too.
    """
    first, *pixels, last = chunks
    if (first.kind, last.kind) != (b"IHDR", b"IEND") or {c.kind for c in pixels} != {b"IDAT"}:
        return False
    if is_interlaced(chunks):
        return False
    try:
        return _inflated(chunks) == (_num_bytes(bytes(first.data)), True)
    except zlib.error:
        return False


def is_interlaced(chunks: list[Chunk]) -> bool:
    """Whether the rows of a PNG come in seven passes."""
    return chunks[0].data[12] != 0


def _inflated(chunks: list[Chunk]) -> tuple[int, bool]:
    """How many bytes the compressed data of a PNG hold, as far as needed, and whether they end.

    Raises:
        zlib.error: they are damaged.
    """
    most = _num_bytes(bytes(chunks[0].data)) + 1
    packed, found = zlib.decompressobj(), 0
    for chunk in chunks:
        if chunk.kind == b"IDAT":
            for begin in range(0, len(chunk.data), _PIECE):
                data = chunk.data[begin : begin + _PIECE]
                while not packed.eof and found < most:
                    piece = packed.decompress(data, min(_PIECE, most - found))
                    found += len(piece)
                    data = packed.unconsumed_tail
                    if not piece and not data:
                        break  # what comes next is in the next piece
    return found, packed.eof


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


def _num_bytes(header: bytes) -> int:
    """The bytes of all rows, each with its filter."""
    width, height, depth, color, *_, interlace = struct.unpack(">IIBBBBB", header)
    total = 0
    for left, top, step_x, step_y in _PASSES if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * depth * _NUM_CHANNELS[color] + 7) // 8)
    return total

"""The rows of a PNG as pixels: unpacked, and no longer differences from what is left and above.

The filters, and the passes of an interlaced image, are those of the PNG specification, third
edition, sections 9 and 8.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import groupby

import numpy as np

from pps_torch.compiled import load_compiled
from pps_torch.io.deflate import zlib
from pps_torch.io.png_files import NUM_CHANNELS, Chunk

compiled = load_compiled("png_rows")

#: The filter of a row that is stored as it is.
AS_IT_IS = 0
#: The filter of a row that is stored as its difference from the one above.
ABOVE = 2

#: (first column, first row, step of columns, step of rows) of the passes of an interlaced PNG.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_PASSES += ((0, 1, 1, 2),)

#: The chunks without which no picture can be read.
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def is_compiled() -> bool:
    """Whether filters are undone by the compiled loop."""
    return compiled is not None


def png_pixels(chunks: list[Chunk]) -> np.ndarray:
    """Decode a PNG of 8 or 16 bits, other than one with a palette.

    Returns:
        (H, W), or (H, W, C) of several channels; uint8 or uint16.

    Raises:
        ValueError: it holds less than all rows, a filter that there is none of, or chunks as no PNG
            has them.
        zlib.error: the compressed data are damaged, as their checksum says.
    """
    _check_chunks(chunks)
    return _pixels(chunks, read_rows(chunks)[0])


def plain_png_pixels(chunks: list[Chunk]) -> np.ndarray | None:
    """The same of a PNG that has nothing but its header and all rows; None of any other."""
    first, *others, last = (chunk.kind for chunk in chunks)
    if (first, last) != (b"IHDR", b"IEND") or {*others} != {b"IDAT"} or not _has_methods(chunks):
        return None
    try:
        rows, is_whole = read_rows(chunks)
        return _pixels(chunks, rows) if is_whole else None
    except (ValueError, zlib.error):
        return None


def _pixels(chunks: list[Chunk], data: bytes) -> np.ndarray:
    """The pixels of unpacked rows."""
    width, height, depth, color = struct.unpack_from(">IIBB", chunks[0].data)
    pixel_bytes = NUM_CHANNELS[color] * depth // 8
    rows, place = np.frombuffer(data, np.uint8), 0
    if not is_interlaced(chunks):
        pixels = unfiltered(rows.reshape(height, -1), pixel_bytes)
    else:
        pixels = np.empty((height, width, pixel_bytes), np.uint8)
        for part, num_rows, num_bytes in _passes(chunks):
            end = place + num_rows * (1 + num_bytes)
            found = unfiltered(rows[place:end].reshape(num_rows, -1), pixel_bytes)
            pixels[part] = found.reshape(num_rows, -1, pixel_bytes)
            place = end
    values = pixels.reshape(height, width, -1).view(f">u{depth // 8}")
    values = values.astype(f"u{depth // 8}", copy=False)
    return values[..., 0] if NUM_CHANNELS[color] == 1 else values


def _check_chunks(chunks: list[Chunk]) -> None:
    """Raise ValueError for what makes pixels other ones, or is no PNG."""
    kinds = [chunk.kind for chunk in chunks]
    if not _has_methods(chunks):
        raise ValueError("expected the compression and the filters of PNG, found other ones")
    if kinds.count(b"IHDR") > 1 or [kind for kind, _ in groupby(kinds)].count(b"IDAT") != 1:
        raise ValueError("expected one header and all rows in one place, found others")
    unknown = [kind for kind in kinds if kind[:1].isupper() and kind not in _CRITICAL]
    if unknown:
        raise ValueError(f"expected the chunks of a PNG, found {unknown[0]!r}")


def _has_methods(chunks: list[Chunk]) -> bool:
    """Whether rows are compressed and filtered by the only methods that PNG has."""
    return bytes(chunks[0].data[10:12]) == bytes(2)


def read_rows(chunks: list[Chunk]) -> tuple[bytes, bool]:
    """Unpack the rows of a PNG, each behind its filter; whether nothing is missing behind, or more.

    Raises:
        ValueError: the compressed data hold less than all rows.
        zlib.error: they are damaged, as their checksum says.
    """
    expected = sum(num_rows * (1 + num_bytes) for _, num_rows, num_bytes in _passes(chunks))
    data = [chunk.data for chunk in chunks if chunk.kind == b"IDAT"]
    unpacker = zlib.decompressobj()
    # One byte more than there must be: so the checksum behind the last one is looked at.
    rows = unpacker.decompress(data[0] if len(data) == 1 else b"".join(data), expected + 1)
    if len(rows) < expected:
        raise ValueError(f"expected {expected} bytes of pixels in it, found {len(rows)}")
    return rows[:expected], unpacker.eof and len(rows) == expected


def is_interlaced(chunks: list[Chunk]) -> bool:
    """Whether the rows of a PNG come in seven passes."""
    return chunks[0].data[12] != 0


def unfiltered(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """Undo the filters of rows.

    Args:
        rows: `(H, 1 + bytes of a row)` uint8, each row behind its filter; at least one pixel each.
        pixel_bytes: the bytes of a pixel.

    Returns:
        (H, bytes of a row) uint8.

    Raises:
        ValueError: a filter that there is none of.
    """
    undo = unfiltered_in_python if compiled is None else compiled.unfiltered
    return undo(rows, pixel_bytes)


def unfiltered_in_python(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """The meaning of [`unfiltered`][pps_torch.io.png_rows.unfiltered]."""
    pixels = np.empty((len(rows), rows.shape[1] - 1), np.uint8)
    above = np.zeros(rows.shape[1] - 1, np.uint8)
    for kind, row, found in zip(rows[:, 0].tolist(), rows[:, 1:], pixels):
        if kind in (AS_IT_IS, ABOVE):
            np.add(row, above if kind == ABOVE else 0, out=found)
        elif kind <= 4:
            found[:] = _predicted_and_added(kind, row.tobytes(), above.tobytes(), pixel_bytes)
        else:
            raise ValueError(f"expected filters of rows from 0 to 4, found {kind}")
        above = found
    return pixels


def _predicted_and_added(kind: int, row: bytes, above: bytes, pixel_bytes: int) -> list[int]:
    """A row whose bytes depend on those before; left of it, and above the first, is zero."""
    found = [0] * pixel_bytes
    above = bytes(pixel_bytes) + above
    for place, difference in enumerate(row):
        neighbours = found[place], above[place + pixel_bytes], above[place]
        found.append((difference + _prediction(kind, *neighbours)) % 256)
    return found[pixel_bytes:]


def _prediction(kind: int, left: int, above: int, corner: int) -> int:
    """What a filter expects a byte to be; `corner` is left of the one above."""
    if kind == 4:  # the one that is closest to left + above - corner, the first of equal ones
        target = left + above - corner
        return min((left, above, corner), key=lambda value: abs(target - value))
    return left if kind == 1 else (left + above) // 2


def _passes(chunks: list[Chunk]) -> Iterator[tuple[tuple[slice, slice], int, int]]:
    """Yield the place in the image, the rows and the bytes of a row of each pass with pixels."""
    width, height, depth, color = struct.unpack_from(">IIBB", chunks[0].data)
    for left, top, step_x, step_y in _PASSES if is_interlaced(chunks) else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            place = slice(top, None, step_y), slice(left, None, step_x)
            yield place, rows, (columns * depth * NUM_CHANNELS[color] + 7) // 8

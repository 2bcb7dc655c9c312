"""BMP: its header and pixels; Pillow turns some palettes into other numbers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

from pps_torch.io.image_header import Header

if TYPE_CHECKING:
    import numpy as np

_CHANNELS = {1: "palette", 4: "palette", 8: "palette", 16: "RGB of 5 bits", 24: "RGB"}
_COMPRESSIONS = {1: "RLE", 2: "RLE", 4: "JPEG", 5: "PNG"}


def read_bmp_header(file: BinaryIO) -> Header:
    """Read the header.

    Raises:
        ValueError: it is damaged, or of a version before Windows 3.
    """
    width, height, bits, compression, _ = _fields(file)
    channels = _CHANNELS.get(bits, "RGB with a spare channel")
    return Header(
        "BMP",
        abs(height),
        width,
        channels,
        8 if bits > 8 else bits,
        compression=_COMPRESSIONS.get(compression, ""),
        peculiarity="masks of bits" if compression in (3, 6) else "",
    )


def read_bmp_pixels(file: BinaryIO) -> np.ndarray:
    """Read the indices `(H, W)` or colours `(H, W, 3)` of a BMP without compression, as uint8.

    Raises:
        ValueError: the file ends before they do.
    """
    import numpy as np  # a header is read without it

    width, height, bits, _, place = _fields(file)
    stride = (width * bits + 31) // 32 * 4
    file.seek(place)
    content = file.read(stride * abs(height))
    if len(content) < stride * abs(height):
        raise ValueError(f"expected {stride * abs(height)} bytes of pixels, found {len(content)}")
    rows = np.frombuffer(content, np.uint8).reshape(abs(height), stride)
    if height > 0:  # the lowest row comes first
        rows = rows[::-1]
    if bits == 24:
        return np.ascontiguousarray(rows[:, : 3 * width].reshape(-1, width, 3)[..., ::-1])
    if bits == 8:
        return np.ascontiguousarray(rows[:, :width])
    digits = np.unpackbits(rows, axis=1).reshape(abs(height), -1, bits)[:, :width]
    return np.ascontiguousarray(digits @ (1 << np.arange(bits, dtype=np.uint8)[::-1]))


def _fields(file: BinaryIO) -> tuple[int, int, int, int, int]:
    """Width, height (below 0 where the top row comes first), bits, compression, place of pixels."""
    file.seek(0)
    beginning = file.read(54)
    if len(beginning) < 54:
        raise ValueError("a BMP that ends within its header")
    place, size, width, height, planes, bits, compression = struct.unpack_from(
        "<I I i i H H I", beginning, 10
    )
    if size < 40:
        raise ValueError("a BMP of a version before Windows 3")
    if width < 1 or not height or planes != 1 or bits not in (1, 4, 8, 16, 24, 32) or place < 54:
        raise ValueError("a BMP with a header that means nothing")
    return width, height, bits, compression, place

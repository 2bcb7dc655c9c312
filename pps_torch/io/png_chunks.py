"""The checksums of a PNG; Pillow does not check those of the pixels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIECE = 1 << 20


def check_png(path: Path) -> None:
    """Check the checksums of a PNG; other files are not looked at.

    Raises:
        ValueError: a chunk is damaged, or the file ends before its last chunk.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return
        kind = b""
        while kind != b"IEND":
            head = file.read(8)
            if len(head) < 8:
                raise ValueError("it ends before its last chunk")
            length, kind = struct.unpack(">I4s", head)
            if _checksum(file, length, zlib.crc32(kind)) != file.read(4):
                raise ValueError(f"the checksum of its chunk {kind!r} is wrong")


def _checksum(file: BinaryIO, length: int, checksum: int) -> bytes:
    while length > 0:
        piece = file.read(min(length, _PIECE))
        if not piece:
            raise ValueError("it ends before its last chunk")
        checksum = zlib.crc32(piece, checksum)
        length -= len(piece)
    return struct.pack(">I", checksum)

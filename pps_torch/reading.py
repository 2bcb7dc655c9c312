"""Files opened for reading: regular ones, and streams that a shell hands over; nothing that waits.

A FIFO without a writer never answers, and a device never ends, so neither is read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

#: The most bytes of a stream, e.g. `<(zcat panoptic.json.gz)` in a shell.
MOST_STREAM_BYTES = 1 << 30

_PIECE = 1 << 20
_STREAM_FOLDERS = ("/dev/fd/", "/proc/self/fd/")
_STREAMS = ("/dev/stdin",)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: Path | str, buffering: int = -1) -> BinaryIO:
    """Open a regular file, without waiting for whoever should write into a FIFO.

    Args:
        path: the file.
        buffering: as of `open`; 0 takes less time where all of it is read at once.

    Raises:
        OSError: there is none, it cannot be read, or it is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            _refuse(path, stat.S_IFSOCK)
        raise
    try:
        _refuse(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb", buffering)
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path | str, most: int | None = None) -> bytes:
    """Read a regular file.

    Args:
        path: the file.
        most: the most bytes that it may have.

    Raises:
        OSError: as `open_regular`, or it is longer.
    """
    with open_regular(path, buffering=0) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise _too_long(path, most)
        return file.read()


def read_text(path: Path | str, most: int | None = None) -> str:
    """Read UTF-8 text, from a regular file or from a stream that a shell hands over.

    Args:
        path: the file, or `/dev/stdin` or `/dev/fd/<number>`.
        most: the most bytes; of a stream at most `MOST_STREAM_BYTES` are read.

    Raises:
        OSError: as `read_regular`.
        UnicodeDecodeError: it is no UTF-8.
    """
    if is_stream(path):
        with open(path, "rb") as file:
            if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
                _refuse(path, stat.S_IFDIR)
            content = _read_stream(path, file, min(most or MOST_STREAM_BYTES, MOST_STREAM_BYTES))
    else:
        content = read_regular(path, most)
    return content.decode("utf-8-sig")


def is_stream(path: Path | str) -> bool:
    """Whether a path names what a shell hands over, as `<(command)` or `/dev/stdin`."""
    name = os.path.normpath(path)
    return name in _STREAMS or name.startswith(_STREAM_FOLDERS)


def _refuse(path: Path | str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        found = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise OSError(errno.EINVAL, f"expected a regular file, found {found}", str(path))


def _read_stream(path: Path | str, stream: BinaryIO, most: int) -> bytes:
    content = bytearray()
    while piece := stream.read(_PIECE):
        content += piece
        if len(content) > most:
            raise _too_long(path, most)
    return bytes(content)


def _too_long(path: Path | str, most: int) -> OSError:
    return OSError(errno.EFBIG, f"expected at most {most} bytes, found more", str(path))

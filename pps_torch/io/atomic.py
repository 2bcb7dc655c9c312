"""Files that appear complete or not at all: written beside their place, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from pps_torch.io.errors import InputError

TEMPORARY_SUFFIX = ".pps_torch_tmp"

#: Seconds, after which a temporary file is that of a run which was stopped.
HOUR = 3600.0

#: Names of more bytes are shortened in those of temporary files, which may have 255.
_MOST_NAME_BYTES = 180


def write_file(path: Path, content: bytes, outdated: Iterable[Path] = ()) -> None:
    """Write a file in one step: a reader finds the old content or the new one.

    That holds however the process ends. Nothing waits for the disk, so a power loss may still
    leave the file short.

    Args:
        path: the file.
        content: all of it.
        outdated: files that would not fit the new content; they are deleted just before the
            new content, completely written, appears.

    Raises:
        InputError: the folder is missing, read-only or full; what was there is unchanged.
    """
    replace_files({path: content}, outdated)


def replace_files(contents: Mapping[Path, bytes], outdated: Iterable[Path] = ()) -> None:
    """Write several files; none appears before all are completely written.

    Args:
        contents: by path; they appear in this order.
        outdated: files that would not fit the new ones; they are deleted when the first one has
            appeared, of a single one just before.

    Raises:
        InputError: a folder is missing, read-only or full; what was there is unchanged.
    """
    first, *others = contents
    temporaries = {path: _temporary(path) for path in contents}
    try:
        for path, content in contents.items():
            where = path
            _write(temporaries[path], content)
        if others:
            os.replace(temporaries[first], first)
        for where in outdated:
            where.unlink(missing_ok=True)
        for where in others or [first]:
            os.replace(temporaries[where], where)
    except OSError as error:
        raise InputError(f"{where}: cannot be written: {error.strerror or error}") from error
    finally:
        for temporary in temporaries.values():
            _remove(temporary)


def make_folder(folder: Path) -> None:
    """Create a folder and those above it.

    Raises:
        InputError: it cannot be created.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created: {error.strerror or error}") from error


def check_can_write(path: Path) -> None:
    """Check, before any work, that a file can be written; its folder is created.

    Raises:
        InputError: it cannot, e.g. as the folder may not be written or the name is too long.
    """
    make_folder(path.parent)
    temporary = _temporary(path)
    try:
        _write(temporary, b"")
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        _remove(temporary)


def remove_temporary_files(
    folder: Path, name: str | None = None, older_than: float | None = None
) -> None:
    """Delete what an interrupted run left half written in a folder.

    Args:
        folder: the folder.
        name: the file whose remains are deleted; default: those of all files.
        older_than: seconds; younger ones are left, as another run may be writing them.

    Raises:
        InputError: they cannot be deleted.
    """
    beginning = "." if name is None else f".{_short(name)}."
    try:
        for entry in os.scandir(folder):
            if entry.name.startswith(beginning) and entry.name.endswith(TEMPORARY_SUFFIX):
                if older_than is None or time.time() - _time(entry) > older_than:
                    Path(entry.path).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: what an interrupted run left half written cannot be removed: "
            f"{error.strerror or error}"
        ) from error


def _temporary(path: Path) -> Path:
    name = f".{_short(path.name)}.{os.getpid()}.{threading.get_ident()}{TEMPORARY_SUFFIX}"
    return path.with_name(name)


def _short(name: str) -> str:
    """A name itself, or the beginning of a long one with a checksum."""
    encoded = os.fsencode(name)
    if len(encoded) <= _MOST_NAME_BYTES:
        return name
    return f"{name[:40]}~{hashlib.sha256(encoded).hexdigest()[:32]}"


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # what is left is removed by the next run
        pass


def _time(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return time.time()

"""Files that appear complete or not at all: written beside their place, then renamed."""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Iterable
from pathlib import Path

from pps_torch.io.errors import InputError

TEMPORARY_SUFFIX = ".pps_torch_tmp"


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
    name = f".{path.name}.{os.getpid()}.{threading.get_ident()}{TEMPORARY_SUFFIX}"
    temporary = path.with_name(name)
    try:
        try:
            temporary.write_bytes(content)
            for other in outdated:
                other.unlink(missing_ok=True)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def make_folder(folder: Path) -> None:
    """Create a folder and those above it.

    Raises:
        InputError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created: {error.strerror or error}") from error


def remove_temporary_files(folder: Path, name: str | None = None) -> None:
    """Delete what an interrupted run left half written in a folder.

    Args:
        folder: the folder.
        name: the file whose remains are deleted; default: those of all files.

    Raises:
        InputError: they cannot be deleted.
    """
    pattern = "*" if name is None else glob.escape(name)
    try:
        for temporary in folder.glob(f".{pattern}.*{TEMPORARY_SUFFIX}"):
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: what an interrupted run left half written cannot be removed: "
            f"{error.strerror or error}"
        ) from error

"""Files appear complete or not at all: written beside their place, then renamed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from pps_torch.io.errors import InputError

TEMPORARY_SUFFIX = ".pps_torch_tmp"


def write_file(path: Path, content: bytes) -> None:
    """Writes a file in one step: a reader finds the old content or the new one.

    Raises:
        InputError: the folder is missing or cannot be written to.
    """
    name = f".{path.name}.{os.getpid()}.{threading.get_ident()}{TEMPORARY_SUFFIX}"
    temporary = path.with_name(name)
    try:
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def make_folder(folder: Path) -> None:
    """Creates a folder and those above it; InputError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created: {error.strerror or error}") from error


def remove_temporary_files(folder: Path) -> None:
    """Deletes what an interrupted run left half written in ``folder``."""
    for temporary in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        temporary.unlink(missing_ok=True)

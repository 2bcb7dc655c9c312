"""Checks of folders, and of file names that stand in other files and may not lead elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pps_torch.io.errors import InputError


def can_name_a_file(name: str) -> bool:
    """Whether a text can be a path: no NUL in it, nor characters that no file system has."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def with_slashes(name: str) -> str:
    """Write a name that a file from Windows has with backslashes as other systems do."""
    return name.replace("\\", "/")


def stays_inside(path: Path, *folders: Path) -> bool:
    """Whether the path of a name that stands in a file stays in one of the folders.

    Links below a folder are its owner's, and are followed wherever they lead; `..` behind one may
    lead out of it.
    """
    if ".." in path.parts:
        return is_inside(path, *folders)
    return any(path.is_relative_to(folder) for folder in folders)


def is_inside(path: Path | str, *folders: Path | str) -> bool:
    """Whether a path leads into one of the folders.

    Links are followed: what is written must not land outside of the folder through a link.
    """
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def check_folder(folder: Path, expected: str) -> None:
    """Check that a folder is there and can be looked into.

    Args:
        folder: the folder.
        expected: what it is, for the message, e.g. "the folder with the PNGs of a.json".

    Raises:
        InputError: it is missing, no folder, or cannot be looked into.
    """
    try:
        if stat.S_ISDIR(os.stat(folder).st_mode):
            return
        found = "a file"
    except (FileNotFoundError, NotADirectoryError):
        found = "nothing"
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}") from error
    raise InputError(f"{folder}: expected {expected}, found {found}")


def refuse_overwriting(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise InputError if a file that will be written is one that will be read."""
    read = {os.path.realpath(path): path for path in inputs}
    for path in outputs:
        if os.path.realpath(path) in read:
            raise InputError(f"{path}: expected a file for the output, found an input")

"""Checks of file names that stand in other files: they may not lead out of their folder."""

from __future__ import annotations

import os
from pathlib import Path


def can_name_a_file(name: str) -> bool:
    """Whether a text can be a path: no NUL in it, nor characters that no file system has."""
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False


def is_inside(path: Path | str, *folders: Path | str) -> bool:
    """Whether a path leads into one of the folders.

    Links are followed: a name that somebody else wrote into a file must not lead through a link
    out of the folder.
    """
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)

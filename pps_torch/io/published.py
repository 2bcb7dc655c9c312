"""Files that belong together, such as the results of an evaluation: all of one run, or none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pps_torch.io.atomic import remove_temporary_files, replace_files
from pps_torch.io.errors import InputError
from pps_torch.io.seals import seal, unseal
from pps_torch.reading import read_regular


def publish(
    folder: Path, name: str, contents: Mapping[str, bytes], possible: Collection[str]
) -> None:
    """Write the files of a set, in place of an earlier set's.

    All contents are on the disk before the first file appears; what is stopped after that is
    known by the record of the set, which appears before, and is finished by another `publish`.

    Args:
        folder: where they go.
        name: the name of the set.
        contents: by file name; the last one appears last.
        possible: the names of all files that a set may have; what this one lacks is deleted.

    Raises:
        InputError: the folder is missing, read-only or full; what was there is unchanged.
    """
    record = seal({"files": {file: _digest(content) for file, content in contents.items()}})
    new = {_record_path(folder, name): record}
    new |= {folder / file: content for file, content in contents.items()}
    replace_files(new, outdated=[folder / file for file in possible if file not in contents])


def remove_unpublished(folder: Path, name: str, possible: Collection[str]) -> None:
    """Delete what a `publish` that was stopped left half written, its record included.

    Arguments are those of `publish`.

    Raises:
        InputError: it cannot be deleted.
    """
    for file in (_record_path(folder, name).name, *possible):
        remove_temporary_files(folder, file)


def refuse_published(folder: Path, name: str, possible: Collection[str]) -> None:
    """Raise InputError if files of a set are there, unless they are those of one that was stopped.

    Arguments are those of `publish`.
    """
    present = [file for file in possible if os.path.lexists(folder / file)]
    if not present:
        return
    files = _read_record(folder, name) or {}
    was_stopped = any(file not in present for file in files)
    if not was_stopped or any(not _is(folder / file, files.get(file)) for file in present):
        raise InputError(
            f"{folder / present[0]}: already exists", remedy=("overwrite", "replace it")
        )


def check_published(path: Path, name: str, content: bytes) -> None:
    """Raise InputError if a file is not that of the set in its folder; without a set any will do.

    Args:
        path: the file.
        name: the name of the set.
        content: of the file.
    """
    if not os.path.lexists(_record_path(path.parent, name)):
        return
    files = _read_record(path.parent, name)
    if files is None or files.get(path.name) != _digest(content):
        raise InputError(
            f"{path}: expected a file of the evaluation that {path.parent} holds, found one of "
            "another evaluation, or a changed one; evaluate again"
        )


def _record_path(folder: Path, name: str) -> Path:
    return folder / f".pps_torch_{name}_files.json"


def _read_record(folder: Path, name: str) -> dict[str, Any] | None:
    """The checksums of the files of a set; None where there is no record, or a damaged one."""
    try:
        record = unseal(read_regular(_record_path(folder, name)))
    except OSError:
        return None
    return None if record is None else record["files"]


def _is(path: Path, digest: str | None) -> bool:
    try:
        return digest is not None and _digest(read_regular(path)) == digest
    except OSError:
        return False


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

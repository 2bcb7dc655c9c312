"""The journal of a run: which images are finished, what each was made from, and its files."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pps_torch.io.atomic import write_file
from pps_torch.io.errors import InputError
from pps_torch.io.seals import seal, unseal
from pps_torch.reading import read_regular
from pps_torch.version import __version__

#: (modification time in ns, bytes) of each output file of an image, by which it is known again.
_Stamps = tuple[tuple[int, int], ...]

#: The version of the records of images; a run with another one is not resumed.
RECORDS = 3


class RunJournal:
    """Hidden files in an output folder, from which an interrupted run knows how far it came.

    The first line has the package's version and the arguments; then there is a line for each
    finished image. An image is done again if its inputs are not those that it was made from, or if
    its files are not those that the journal notes. A line that is damaged counts for nothing.

    Each process of a job has a file of its own and reads those of all. The run that was interrupted
    may have had another number of processes.

    Usage: `read` or `forget`, `begin`, then for each image `record_of` and `finish` (from any
    thread).

    Args:
        folder: the output folder.
        command, arguments, made_from: as for
            [`OutputFolder`][pps_torch.io.output_folder.OutputFolder].
    """

    def __init__(
        self, folder: Path, command: str, arguments: Mapping[str, Any], made_from: str
    ) -> None:
        self._folder = folder
        self._command = command
        self._made_from = made_from
        self._file = self._file_of(0)
        arguments = {"version": __version__, "records": RECORDS, **_as_json(arguments)}
        self._header: dict[str, Any] = {"command": command, "arguments": arguments}
        self._records: dict[tuple[str, str, _Stamps], dict[str, Any]] = {}
        self._begun: dict[str, tuple[str, Collection[Path]]] = {}
        self._lock = threading.Lock()

    def read(self) -> bool:
        """Read what an earlier run noted; say whether there was one.

        Raises:
            InputError: it had another version or other arguments, or a file cannot be read.
        """
        files = self._files()
        for file in files:
            self._records.update(self._read(file))
        return bool(files)

    def forget(self, rank: int) -> None:
        """Begin the first process's file anew and delete those of the others.

        The first one is replaced in one step, so the folder has a journal at any moment.
        """
        files = self._files()
        if rank == 0:
            self._write_header()
        for file in files:
            if file != self._file_of(0):
                file.unlink(missing_ok=True)

    def begin(self, rank: int) -> None:
        """Note from now on in the file of a process; it gets its first line if it is not there."""
        self._file = self._file_of(rank)
        if not self._file.exists():
            self._write_header()

    def record_of(
        self, image_id: str, outputs: Collection[Path], inputs: Iterable[Path]
    ) -> dict | None:
        """The record that `finish` noted of an image; None if the image has to be done.

        Args:
            image_id: the image.
            outputs: the files that are written for it.
            inputs: the files that these depend on.
        """
        made_from, stamps = self._digest(inputs), _stamps(outputs)
        record = None if stamps is None else self._records.get((image_id, made_from, stamps))
        if record is None:
            self._begun[image_id] = made_from, outputs
        return record

    def finish(self, image_id: str, record: Mapping[str, Any]) -> None:
        """Note that the outputs of an image, those given to `record_of`, are complete."""
        made_from, outputs = self._begun.pop(image_id)
        line = {"image": image_id, "from": made_from, "files": _stamps(outputs)}
        content = seal({**line, "record": dict(record)})
        try:
            with self._lock, open(self._file, "ab") as file:
                file.write(b"\n" + content)  # what was cut off before cannot spoil this line
        except OSError as error:
            raise InputError(
                f"{self._file}: cannot be written: {error.strerror or error}"
            ) from error

    def _digest(self, inputs: Iterable[Path]) -> str:
        """What an image is made from, told by what changes whenever a file is replaced.

        A time of modification can be set to any value, as `cp -p`, `rsync -t` and `tar` do; the
        time of the last change of the file's entry and the number of the file cannot.
        """
        stamps = []
        for path in inputs:
            try:
                status = os.stat(path)
            except (OSError, ValueError):  # it will be an error when it is read
                return ""
            stamps.append((status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        return hashlib.sha256(json.dumps([self._made_from, stamps]).encode()).hexdigest()

    def _files(self) -> list[Path]:
        """The files of all processes."""
        return sorted(self._folder.glob(f".pps_torch_{self._command}*.jsonl"))

    def _file_of(self, rank: int) -> Path:
        number = f".{rank}" if rank else ""
        return self._folder / f".pps_torch_{self._command}{number}.jsonl"

    def _write_header(self) -> None:
        write_file(self._file, seal(self._header))

    def _read(self, file: Path) -> dict[tuple[str, str, _Stamps], dict[str, Any]]:
        """Read the records of a process, by image, inputs and the stamps of its files."""
        try:
            lines = read_regular(file).split(b"\n")
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
        parsed = [line for line in map(unseal, lines) if line is not None]
        if not parsed or parsed[0].keys() != {"command", "arguments"}:
            raise InputError(
                f"{file}: expected the record of an earlier run, found something else",
                remedy=("overwrite", "start afresh"),
            )
        earlier, now = parsed[0]["arguments"], self._header["arguments"]
        if earlier != now:
            differences = "; ".join(
                f"{key} was {json.dumps(earlier.get(key))}, now {json.dumps(now.get(key))}"
                for key in sorted(earlier.keys() | now.keys())
                if earlier.get(key) != now.get(key)
            )
            raise InputError(
                f"{self._folder}: holds the output of a run with other arguments: {differences}",
                remedy=("overwrite", "replace it"),
            )
        return {
            (line["image"], line["from"], tuple(map(tuple, line["files"]))): line["record"]
            for line in parsed[1:]
            if line.keys() == {"image", "from", "files", "record"} and line["files"] is not None
        }


def _stamps(paths: Iterable[Path]) -> _Stamps | None:
    """The stamps of files, which tell them from any others; None where one is missing."""
    try:
        found = [os.stat(path) for path in paths]
    except (OSError, ValueError):  # ValueError: a name with NUL
        return None
    return tuple((status.st_mtime_ns, status.st_size) for status in found)


def _as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: os.path.realpath(value) if isinstance(value, Path) else value
        for key, value in arguments.items()
    }

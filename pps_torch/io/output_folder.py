"""Output folders in which an interrupted run can be resumed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pps_torch.io.atomic import make_folder, remove_temporary_files, write_file
from pps_torch.io.errors import InputError
from pps_torch.io.file_names import is_inside
from pps_torch.version import __version__

#: (modification time in ns, bytes) of each output file of an image, by which it is known again.
_Stamps = tuple[tuple[int, int], ...]

#: The version of the records of images; a run with another one is not resumed.
RECORDS = 3


class OutputFolder:
    """A folder that knows which command writes it, with which arguments, and how far it came.

    A hidden journal holds the package's version and the arguments in its first line, and a line
    for each finished image. The same command with the same arguments goes on where it stopped.
    Another version, other arguments or files that the command did not write are an error, unless
    the run may overwrite. An image is done again if its inputs changed after it was finished, or
    if its files are not those that the journal notes.

    Several processes may write one folder, on one machine or many: each has a journal of its own
    and reads those of all. The run that was interrupted may have had another number of processes.

    Usage: `open`, then for each image `record_of` and `finish` (from any thread).

    Args:
        path: the folder; `open` creates it.
        command: the name of the command.
        arguments: what the results depend on; paths are made absolute.
    """

    def __init__(self, path: Path | str, command: str, arguments: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._command = command
        self._journal = self._journal_of(0)
        arguments = {"version": __version__, "records": RECORDS, **_as_json(arguments)}
        self._header: dict[str, Any] = {"command": command, "arguments": arguments}
        self._records: dict[tuple[str, _Stamps], dict[str, Any]] = {}
        self._outputs: dict[str, Collection[Path]] = {}
        self._lock = threading.Lock()

    def refuse_inputs(self, *folders: Path | str) -> None:
        """Raise InputError if the output would lie among the input files."""
        for folder in folders:
            if self.path.resolve() == Path(folder).resolve():
                raise InputError(
                    f"{self.path}: expected a folder for the output, found the input's"
                )

    def open(
        self,
        outputs: Collection[str],
        overwrite: bool,
        rank: int = 0,
        wait_for_all: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin or resume a run.

        Args:
            outputs: names of all files that the run will write.
            overwrite: whether to forget what an earlier run wrote.
            rank: the number of this process, from 0.
            wait_for_all: waits until all processes have called it. What an earlier run left is
                read and tidied up before that; output is written only after it.

        Raises:
            InputError: an earlier run had another version or other arguments, files of another
                source are in the way, or a file would lie outside the folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: expected a folder for the output, found a file")
        journals = sorted(self.path.glob(f".pps_torch_{self._command}*.jsonl"))
        if not overwrite:
            for journal in journals:
                self._records.update(self._read(journal))
            if not journals:
                self._refuse_foreign_files(outputs)
        for folder in {self.path, *((self.path / name).parent for name in outputs)}:
            self._refuse_outside(folder)
            make_folder(folder)
            remove_temporary_files(folder)
        self._journal = self._journal_of(rank)
        if overwrite:
            self._replace_journals(journals, rank)
        wait_for_all()
        if not self._journal.exists():
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
        stamps = _stamps(outputs)
        if stamps is not None:
            written = min(time for time, _ in stamps)
            if not any(stamp[0][0] > written for path in inputs if (stamp := _stamps([path]))):
                record = self._records.get((image_id, stamps))
                if record is not None:
                    return record
        self._outputs[image_id] = outputs
        return None

    def finish(self, image_id: str, record: Mapping[str, Any]) -> None:
        """Note that the outputs of an image, those given to `record_of`, are complete."""
        stamps = _stamps(self._outputs.pop(image_id))
        line = json.dumps({"image": image_id, "files": stamps, "record": dict(record)})
        try:
            with self._lock, open(self._journal, "a", encoding="utf-8") as journal:
                journal.write(f"\n{line}")  # what was cut off before cannot spoil this line
        except OSError as error:
            raise InputError(
                f"{self._journal}: cannot be written: {error.strerror or error}"
            ) from error

    def _journal_of(self, rank: int) -> Path:
        number = f".{rank}" if rank else ""
        return self.path / f".pps_torch_{self._command}{number}.jsonl"

    def _write_header(self) -> None:
        write_file(self._journal, json.dumps(self._header).encode())

    def _replace_journals(self, journals: Iterable[Path], rank: int) -> None:
        """Begin the first process's journal anew and delete those of the others.

        The first one is replaced in one step, so the folder has a journal at any moment.
        """
        if rank == 0:
            self._write_header()
        for journal in journals:
            if journal != self._journal_of(0):
                journal.unlink(missing_ok=True)

    def _read(self, journal: Path) -> dict[tuple[str, _Stamps], dict[str, Any]]:
        """Read the records of an earlier run, by image and the stamps of its files."""
        try:
            lines = journal.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise InputError(f"{journal}: cannot be read: {error.strerror or error}") from error
        parsed = [line for line in map(_parse, lines) if line is not None]
        if not parsed or not _is_header(parsed[0]):
            raise InputError(
                f"{journal}: expected the record of an earlier run, found something else",
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
                f"{self.path}: holds the output of a run with other arguments: {differences}",
                remedy=("overwrite", "replace it"),
            )
        return {
            (line["image"], tuple(map(tuple, line["files"]))): line["record"]
            for line in parsed[1:]
            if line.keys() == {"image", "files", "record"}
        }

    def _refuse_foreign_files(self, outputs: Collection[str]) -> None:
        """Raise InputError if files are in the way that this command did not write."""
        present = [name for name in outputs if _stamps([self.path / name]) is not None]
        if present:
            raise InputError(
                f"{self.path}: already holds {len(present)} of the files to write, e.g. "
                f"{present[0]}, from another source",
                remedy=("overwrite", "replace them"),
            )

    def _refuse_outside(self, folder: Path) -> None:
        """Raise InputError for a folder outside of this one.

        A name from images.json may lead there, through a link that lies in this folder.
        """
        if not is_inside(folder, self.path):
            raise InputError(
                f"{folder}: expected a folder inside {self.path} for the output, found that it "
                f"leads to {os.path.realpath(folder)}"
            )


def _stamps(paths: Iterable[Path]) -> _Stamps | None:
    """The stamps of files, which tell them from any others; None where one is missing."""
    try:
        found = [os.stat(path) for path in paths]
    except (OSError, ValueError):  # ValueError: a name with NUL
        return None
    return tuple((status.st_mtime_ns, status.st_size) for status in found)


def _is_header(line: dict[str, Any]) -> bool:
    return line.keys() == {"command", "arguments"} and isinstance(line["arguments"], dict)


def _as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: str(value.resolve()) if isinstance(value, Path) else value
        for key, value in arguments.items()
    }


def _parse(line: str) -> dict[str, Any] | None:
    """Parse a line of the journal; None for one that was cut off."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None

"""Output folders in which an interrupted run can be resumed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pps_torch.io.atomic import make_folder, remove_temporary_files, write_file
from pps_torch.io.errors import InputError
from pps_torch.io.file_names import is_inside, refuse_overwriting
from pps_torch.io.folder_lock import locked_folder
from pps_torch.io.seals import seal, unseal
from pps_torch.reading import read_regular
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
    the run may overwrite. An image is done again if its inputs are not those that it was made
    from, or if its files are not those that the journal notes. A line of the journal that is
    damaged counts for nothing.

    Several processes of a job may write one folder, on one machine or many: each has a journal of
    its own and reads those of all. The run that was interrupted may have had another number of
    processes. Another job is kept out.

    Usage: `with opened`, then for each image `record_of` and `finish` (from any thread).

    Args:
        path: the folder; `opened` creates it.
        command: the name of the command.
        arguments: what the results depend on; paths are made absolute.
        made_from: a digest of what all images depend on beside their files, e.g. of the specs.
    """

    def __init__(
        self, path: Path | str, command: str, arguments: Mapping[str, Any], made_from: str = ""
    ) -> None:
        self.path = Path(path)
        self._command = command
        self._made_from = made_from
        self._journal = self._journal_of(0)
        arguments = {"version": __version__, "records": RECORDS, **_as_json(arguments)}
        self._header: dict[str, Any] = {"command": command, "arguments": arguments}
        self._records: dict[tuple[str, str, _Stamps], dict[str, Any]] = {}
        self._begun: dict[str, tuple[str, Collection[Path]]] = {}
        self._lock = threading.Lock()

    def refuse_inputs(self, *folders: Path | str) -> None:
        """Raise InputError if the output would lie among the input files."""
        for folder in folders:
            if os.path.realpath(self.path) == os.path.realpath(folder):
                raise InputError(
                    f"{self.path}: expected a folder for the output, found the input's"
                )

    @contextmanager
    def opened(
        self,
        outputs: Collection[str],
        overwrite: bool,
        inputs: Iterable[Path] = (),
        rank: int = 0,
        wait_for_all: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """Begin or resume a run; within this context no other job may write the folder.

        Args:
            outputs: names of all files that the run will write.
            overwrite: whether to forget what an earlier run wrote.
            inputs: the files that the run will read.
            rank: the number of this process, from 0; the first one holds the folder's lock.
            wait_for_all: waits until all processes have called it. What an earlier run left is
                read and tidied up before that; output is written only after it.

        Raises:
            InputError: an earlier run had another version or other arguments, files of another
                source are in the way, a file would lie outside the folder, have too long a name
                or be one of the inputs, or another job writes the folder.
        """
        refuse_overwriting([self.path / name for name in outputs], inputs)
        lock = locked_folder(self.path, self._command, must_write=False)
        with lock if rank == 0 else nullcontext():
            wait_for_all()
            self._begin(outputs, overwrite, rank)
            wait_for_all()
            if not self._journal.exists():
                self._write_header()
            yield

    def _begin(self, outputs: Collection[str], overwrite: bool, rank: int) -> None:
        """Read and tidy up what an earlier run left."""
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
        self._check_names(outputs)
        self._journal = self._journal_of(rank)
        if overwrite:
            self._replace_journals(journals, rank)

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

    def finish(self, image_id: str, record: Mapping[str, Any]) -> None:
        """Note that the outputs of an image, those given to `record_of`, are complete."""
        made_from, outputs = self._begun.pop(image_id)
        line = {"image": image_id, "from": made_from, "files": _stamps(outputs)}
        content = seal({**line, "record": dict(record)})
        try:
            with self._lock, open(self._journal, "ab") as journal:
                journal.write(b"\n" + content)  # what was cut off before cannot spoil this line
        except OSError as error:
            raise InputError(
                f"{self._journal}: cannot be written: {error.strerror or error}"
            ) from error

    def _journal_of(self, rank: int) -> Path:
        number = f".{rank}" if rank else ""
        return self.path / f".pps_torch_{self._command}{number}.jsonl"

    def _write_header(self) -> None:
        write_file(self._journal, seal(self._header))

    def _replace_journals(self, journals: Iterable[Path], rank: int) -> None:
        """Begin the first process's journal anew and delete those of the others.

        The first one is replaced in one step, so the folder has a journal at any moment.
        """
        if rank == 0:
            self._write_header()
        for journal in journals:
            if journal != self._journal_of(0):
                journal.unlink(missing_ok=True)

    def _read(self, journal: Path) -> dict[tuple[str, str, _Stamps], dict[str, Any]]:
        """Read the records of an earlier run, by image, inputs and the stamps of its files."""
        try:
            lines = read_regular(journal).split(b"\n")
        except OSError as error:
            raise InputError(f"{journal}: cannot be read: {error.strerror or error}") from error
        parsed = [line for line in map(unseal, lines) if line is not None]
        if not parsed or parsed[0].keys() != {"command", "arguments"}:
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
            (line["image"], line["from"], tuple(map(tuple, line["files"]))): line["record"]
            for line in parsed[1:]
            if line.keys() == {"image", "from", "files", "record"} and line["files"] is not None
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

    def _check_names(self, outputs: Collection[str]) -> None:
        """Raise InputError for a name that the file system cannot take, before any work."""
        for name in outputs:
            try:
                os.lstat(self.path / name)
            except OSError as error:
                if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                    raise InputError(
                        f"{self.path / name}: cannot be written: {error.strerror}"
                    ) from error

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


def _as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: os.path.realpath(value) if isinstance(value, Path) else value
        for key, value in arguments.items()
    }

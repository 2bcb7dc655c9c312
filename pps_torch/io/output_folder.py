"""Output folders in which an interrupted run can be resumed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pps_torch.io.atomic import make_folder, remove_temporary_files
from pps_torch.io.errors import InputError
from pps_torch.io.file_names import is_inside, refuse_overwriting
from pps_torch.io.folder_lock import locked_folder
from pps_torch.io.run_journal import RunJournal


class OutputFolder:
    """A folder that knows which command writes it, with which arguments, and how far it came.

    The same command with the same arguments goes on where it stopped, by its `journal`. Another
    version, other arguments or files that the command did not write are an error, unless the run
    may overwrite.

    Several processes of a job may write one folder, on one machine or many. Another job is kept
    out.

    Usage: `with opened`, then for each image `record_of` and `finish` of the
    [`journal`][pps_torch.io.run_journal.RunJournal].

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
        self.journal = RunJournal(self.path, command, arguments, made_from)
        self._command = command

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
            if not overwrite and not self.journal.read():
                self._refuse_foreign_files(outputs)
            self._make_folders(outputs)
            if overwrite:
                self.journal.forget(rank)
            wait_for_all()
            self.journal.begin(rank)
            yield

    def _make_folders(self, outputs: Collection[str]) -> None:
        """Make the folders of the outputs, tidied up; raise InputError for what cannot be there."""
        for folder in {self.path, *((self.path / name).parent for name in outputs)}:
            self._refuse_outside(folder)
            make_folder(folder)
            remove_temporary_files(folder)
        self._check_names(outputs)

    def _refuse_foreign_files(self, outputs: Collection[str]) -> None:
        """Raise InputError if files are in the way that this command did not write."""
        present = [name for name in outputs if os.path.exists(self.path / name)]
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

"""Output folders that an interrupted run can be resumed in."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pps_torch.io.atomic import make_folder, remove_temporary_files, write_file
from pps_torch.io.errors import InputError
from pps_torch.version import __version__


class OutputFolder:
    """A folder that knows which command writes it, with which arguments, and how far it came.

    A hidden journal holds the package's version and the arguments in its first line, and a line
    for each finished image. The same command with the same arguments goes on where it stopped;
    with another version or other arguments, or in front of files that it did not write, it is an
    error unless ``overwrite``. An image whose inputs changed after it was finished is done again.

    Usage: ``open``, then for each image ``finished`` and ``finish`` (from any thread).
    """

    def __init__(self, path: Path | str, command: str, arguments: Mapping[str, Any]) -> None:
        """
        Args:
            path: the folder; ``open`` creates it.
            command: the tool's name.
            arguments: what the results depend on; paths are made absolute.
        """
        self.path = Path(path)
        self._journal = self.path / f".pps_torch_{command}.jsonl"
        arguments = {"version": __version__, **_as_json(arguments)}
        self._header = {"command": command, "arguments": arguments}
        self._records: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def refuse_inputs(self, *folders: Path | str) -> None:
        """Raises InputError if the output would lie among the input files."""
        for folder in folders:
            if self.path.resolve() == Path(folder).resolve():
                raise InputError(
                    f"{self.path}: expected a folder for the output, found the input's"
                )

    def open(self, outputs: Collection[str], overwrite: bool) -> None:
        """Begins or resumes a run.

        Args:
            outputs: names of all files that the run will write, to find foreign ones.
            overwrite: forget what an earlier run wrote.

        Raises:
            InputError: an earlier run had another version or other arguments, or foreign files
                are in the way.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: expected a folder for the output, found a file")
        if not overwrite:
            if self._journal.exists():
                self._records = self._read_journal()
            else:
                self._refuse_foreign_files(outputs)
        for folder in {self.path, *((self.path / name).parent for name in outputs)}:
            make_folder(folder)
            remove_temporary_files(folder)
        lines = [self._header, *self._records.values()]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        write_file(self._journal, text.encode())

    def record_of(
        self, image_id: str, outputs: Collection[Path], inputs: Iterable[Path]
    ) -> dict | None:
        """What :meth:`finish` noted about an image, if it need not be done again."""
        record = self._records.get(image_id)
        if record is None or not all(path.exists() for path in outputs):
            return None
        written = min(path.stat().st_mtime_ns for path in outputs)
        changed = any(path.exists() and path.stat().st_mtime_ns > written for path in inputs)
        return None if changed else record["record"]

    def finish(self, image_id: str, record: Mapping[str, Any]) -> None:
        """Notes that an image's files are complete."""
        line = {"image": image_id, "record": dict(record)}
        with self._lock, open(self._journal, "a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")

    def _read_journal(self) -> dict[str, dict[str, Any]]:
        lines = self._journal.read_text(encoding="utf-8", errors="replace").splitlines()
        parsed = [line for line in map(_parse, lines) if line is not None]
        if not parsed or parsed[0].keys() != self._header.keys():
            raise InputError(
                f"{self._journal}: expected the record of an earlier run, found something else; "
                "--overwrite starts afresh"
            )
        earlier, now = parsed[0]["arguments"], self._header["arguments"]
        if earlier != now:
            differences = "; ".join(
                f"{key} was {json.dumps(earlier.get(key))}, now {json.dumps(now.get(key))}"
                for key in sorted(earlier.keys() | now.keys())
                if earlier.get(key) != now.get(key)
            )
            raise InputError(
                f"{self.path}: holds the output of a run with other arguments: {differences}; "
                "--overwrite replaces it"
            )
        return {line["image"]: line for line in parsed[1:] if "image" in line and "record" in line}

    def _refuse_foreign_files(self, outputs: Collection[str]) -> None:
        present = [name for name in outputs if (self.path / name).exists()]
        if present:
            raise InputError(
                f"{self.path}: already holds {len(present)} of the files to write, e.g. "
                f"{present[0]}, from another source; --overwrite replaces them"
            )


def _as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: str(value.resolve()) if isinstance(value, Path) else value
        for key, value in arguments.items()
    }


def _parse(line: str) -> dict[str, Any] | None:
    """A line of the journal; None for one that was cut off."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None

"""The results of evaluations: a metric for each worker thread, and the files of their sum."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pps_torch.io.errors import InputError
from pps_torch.io.file_names import refuse_overwriting
from pps_torch.io.folder_lock import locked_folder
from pps_torch.io.json_files import encode_json
from pps_torch.io.published import publish, refuse_published, remove_unpublished
from pps_torch.pipelines.running.options import RunOptions

if TYPE_CHECKING:
    from pps_torch.metrics.sum_metric import SumMetric

Metric = TypeVar("Metric", bound="SumMetric")


class WorkerMetrics(Generic[Metric]):
    """A metric for each worker thread; they add up to the same bits in any order.

    Args:
        create: makes an empty metric.
    """

    def __init__(self, create: Callable[[], Metric]) -> None:
        self._create = create
        self._local = threading.local()
        self._metrics: list[Metric] = []
        self._lock = threading.Lock()

    def of_this_thread(self) -> Metric:
        """The metric of the calling thread."""
        if not hasattr(self._local, "metric"):
            self._local.metric = self._create()
            with self._lock:
                self._metrics.append(self._local.metric)
        return self._local.metric

    def merged(self) -> Metric:
        """A metric with the counts of all threads."""
        total = self._create()
        for metric in self._metrics:
            total.merge_state(metric)
        return total


RESULTS = "_results.json"
SEGMENTS, IMAGES, TABLES = "_segments.csv", "_images.csv", "_tables.json"
REFERENCE = "_reference.json"


class UnsavedResult(InputError):  # noqa: N818
    """An evaluation is done, but its files could not be written.

    Attributes:
        result: what was evaluated.
    """

    def __init__(self, error: InputError, result: Any) -> None:
        super().__init__(error.message, argument=error.argument, remedy=error.remedy)
        self.result = result


@dataclass(frozen=True)
class ResultFiles:
    """The files of one evaluation in a folder, which appear together; or none.

    They are `<name>_results.json`, with tables `<name>_segments.csv`, `<name>_images.csv` and
    `<name>_tables.json`, and on request `<name>_reference.json`, the result in the layout of the
    reference implementation. In all processes but the first there are none.
    """

    folder: Path | None
    name: str
    options: RunOptions

    @classmethod
    @contextmanager
    def opened(
        cls,
        folder: Path | str | None,
        name: str,
        options: RunOptions,
        inputs: Iterable[Path | str] = (),
        *,
        tables: bool = True,
    ) -> Iterator[ResultFiles]:
        """Check, before any work, that the files can be written; keep other jobs out meanwhile.

        Args:
            folder: where they go; None for nowhere.
            name: the beginning of their names.
            options: of the job.
            inputs: the files that the evaluation reads.
            tables: whether there will be tables, which need a folder.

        Raises:
            InputError: there is no folder for the tables; one of the files exists and may not be
                replaced, or is an input; the folder cannot be written, or another job writes it.
        """
        if folder is None and tables:
            raise InputError(
                "expected the folder that the tables go to, found none", argument="save_dir"
            )
        if folder is None or not options.processes.is_first:
            yield cls(None, name, options)
            return
        folder = Path(folder)
        files = cls(folder, name, options)
        refuse_overwriting([folder / file for file in files.names], map(Path, inputs))
        with locked_folder(folder, "an evaluation"):
            remove_unpublished(folder, name, files.names)
            if not options.overwrite:
                refuse_published(folder, name, files.names)
            yield files

    @property
    def names(self) -> list[str]:
        """The names of all files that there may be."""
        return [self.name + suffix for suffix in (SEGMENTS, IMAGES, TABLES, REFERENCE, RESULTS)]

    def save(
        self,
        document: Mapping[str, Any],
        tables: Mapping[str, bytes] | None,
        result: Any,
        reference: Any = None,
    ) -> None:
        """Write all files at once; those of an earlier evaluation that are not among them go.

        Args:
            document: the content of `<name>_results.json`.
            tables: the contents of the tables by the endings of their names.
            result: for the error.
            reference: the content of `<name>_reference.json`; None for no such file.

        Raises:
            UnsavedResult: they cannot be written; what was there is unchanged.
        """
        if self.folder is None:
            return
        contents = {self.name + suffix: table for suffix, table in (tables or {}).items()}
        if reference is not None:
            contents[self.name + REFERENCE] = _encoded(reference)
        contents[self.name + RESULTS] = _encoded(document)
        try:
            publish(self.folder, self.name, contents, self.names)
        except InputError as error:
            raise UnsavedResult(error, result) from error
        self.options.note(f"results saved in {self.folder / (self.name + RESULTS)}")
        if tables:
            self.options.note(f"tables saved in {self.folder}")


def _encoded(content: Any) -> bytes:
    return encode_json(content, indent=1).encode() + b"\n"

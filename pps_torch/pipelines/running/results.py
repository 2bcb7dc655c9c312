"""The results of evaluations: a metric for each worker thread, and the file of their sum."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pps_torch.io.atomic import make_folder, remove_temporary_files
from pps_torch.io.errors import InputError
from pps_torch.io.json_files import save_json
from pps_torch.metrics.segment_metric import SegmentMetric
from pps_torch.pipelines.running.options import RunOptions

Metric = TypeVar("Metric", bound=SegmentMetric)


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


@dataclass(frozen=True)
class ResultFile:
    """The file that a result goes to, or none."""

    path: Path | None
    options: RunOptions

    @classmethod
    def in_folder(cls, folder: Path | str | None, name: str, options: RunOptions) -> ResultFile:
        """Check, before any work, that the result can be written.

        In all processes but the first there is no file.

        Raises:
            InputError: the file exists and may not be replaced, or its folder is a file.
        """
        if folder is None or not options.processes.is_first:
            return cls(None, options)
        path = Path(folder) / name
        if path.exists() and not options.overwrite:
            raise InputError(f"{path}: already exists", remedy=("overwrite", "replace it"))
        if path.parent.exists() and not path.parent.is_dir():
            raise InputError(f"{path.parent}: expected a folder for the result, found a file")
        if path.parent.exists():
            remove_temporary_files(path.parent, path.name)
        return cls(path, options)

    def save(self, content: Any) -> None:
        """Write the result, if it has a file."""
        if self.path is not None:
            make_folder(self.path.parent)
            save_json(self.path, content, indent=1)
            self.options.note(f"results saved in {self.path}")

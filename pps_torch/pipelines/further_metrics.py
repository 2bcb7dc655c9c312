"""Metrics that an evaluation of files counts beside PQ or PartPQ, in the same run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pps_torch.io.errors import InputError
from pps_torch.metrics.results import Result
from pps_torch.metrics.sum_metric import SumMetric
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.pipelines.running.results import WorkerMetrics


class FurtherMetrics:
    """Metrics by name, one of each for every worker thread.

    Args:
        wanted: the names.
        create: makes an empty metric, by each name that there is.

    Raises:
        InputError: for another name.
    """

    def __init__(
        self, wanted: Sequence[str], create: Mapping[str, Callable[[], SumMetric]]
    ) -> None:
        for name in wanted:
            if name not in create:
                expected = f"some of {', '.join(create)}"
                raise InputError(f"expected {expected}, found {name!r}", argument="metrics")
        self._metrics = {name: WorkerMetrics(create[name]) for name in dict.fromkeys(wanted)}

    def __contains__(self, name: str) -> bool:
        return name in self._metrics

    def update(self, add: Mapping[str, Callable[[Any], object]]) -> None:
        """Count an image: `add[name]` is called with the metric of the calling thread.

        Names of which there is no metric are left out.
        """
        for name, metrics in self._metrics.items():
            if name in add:
                add[name](metrics.of_this_thread())

    def results(self, options: RunOptions) -> dict[str, Result]:
        """The results over all processes, by name; every process has to call it."""
        return {
            name: options.processes.add_up(metrics.merged()).compute()
            for name, metrics in self._metrics.items()
        }


def show_further(results: Mapping[str, Result], options: RunOptions) -> None:
    """Print the tables of the results."""
    for name, result in results.items():
        options.show(f"{name}\n\n{result.table()}\n")

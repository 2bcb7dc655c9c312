"""Items of a sequence that worker threads read before they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from pps_torch.io.workers import default_workers

Item = TypeVar("Item")

_MOST_WORKERS = 4  # a machine runs a process for each GPU, and each has its own threads


class ReadAhead(Generic[Item]):
    """Read in advance the items that will probably be asked for next.

    The next indices are expected at the distance of the last two: 1 for a process that has a
    stretch of the data set, the number of processes if these take turns. A wrong guess costs time
    and nothing else. At most `workers + 2` items are held.

    Args:
        read: reads the item of an index; called in worker threads.
        num_items: length of the sequence.

    Example:
        >>> squares = ReadAhead(lambda index: index**2, 10)
        >>> squares[3], squares[4], squares[0]
        (9, 16, 0)
        >>> squares.close()
    """

    def __init__(self, read: Callable[[int], Item], num_items: int) -> None:
        self._read = read
        self._num_items = num_items
        self._workers = min(_MOST_WORKERS, default_workers())
        self._pool: ThreadPoolExecutor | None = None
        self._reading: dict[int, Future[Item]] = {}
        self._last: int | None = None

    def __getitem__(self, index: int) -> Item:
        """Return an item; an error of `read` is raised here."""
        step = 1 if self._last is None or index <= self._last else index - self._last
        self._last = index
        stop = min(self._num_items, index + step * (self._workers + 2))
        self._begin([index, *range(index + step, stop, step)])
        return self._reading.pop(index).result()

    def close(self) -> None:
        """End the threads; a later read starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool, self._reading, self._last = None, {}, None

    def _begin(self, indices: list[int]) -> None:
        """Begin to read these items, and drop all others."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="pps_torch")
        for index in self._reading.keys() - indices:
            self._reading.pop(index).cancel()
        for index in indices:
            if index not in self._reading:
                self._reading[index] = self._pool.submit(self._read, index)

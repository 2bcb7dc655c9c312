"""Workers for images: results in order, few in flight, progress shown, a clean stop."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NoReturn, TypeVar

from tqdm import tqdm

from pps_torch.io.progress import Progress
from pps_torch.io.terminal import Messages, print_message

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_DEFAULT_WORKERS = 8


def default_workers(processes: int = 1) -> int:
    """One worker per core, at most eight, as memory grows with the workers.

    Args:
        processes: how many processes share the cores of this machine.
    """
    return min(max(1, available_cores() // processes), _MOST_DEFAULT_WORKERS)


def available_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_images(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    description: str,
    quiet: bool = False,
    progress: Progress | None = None,
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in order.

    With one worker the calling thread does it, one item when it is asked for. With several, threads
    do; at most `workers + 2` items are in work or wait to be taken, so memory does not grow with
    the number of items. After an error no further item is begun, and those begun are waited for;
    after Ctrl-C they are not, so that the caller can report it at once.

    Args:
        function: what is called.
        items: what it is called with.
        workers: how many; decoding, encoding and tensor operations run beside each other.
        description: what the progress bar says; it shows rate and time left. Where the standard
            error is no terminal, a line each 10 % says the same.
        quiet: whether to show no progress.
        progress: counts the items that are done.
    """
    progress = progress or Progress()
    waiting: deque[Future[Result]] = deque()
    shown = _shown_progress(len(items), description, quiet)
    wait = True

    def counted(result: Result) -> Result:
        progress.done += 1
        if bar is not None:
            bar.update()
        return result

    with _shared_cores(workers), shown as bar:
        if workers == 1:  # to hand over small images takes a part of their time
            for item in items:
                yield counted(function(item))
            return
        pool = ThreadPoolExecutor(workers, thread_name_prefix="pps_torch")
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= workers + 2:
                    yield counted(waiting.popleft().result())
            while waiting:
                yield counted(waiting.popleft().result())
        except KeyboardInterrupt:
            wait = False
            raise
        finally:
            pool.shutdown(wait, cancel_futures=True)


class ProgressLines:
    """Progress in a log or a pipe, where a bar would be one endless line: a line each 10 %."""

    def __init__(self, total: int, description: str) -> None:
        self._total, self._description = total, description
        self._done, self._begun = 0, time.monotonic()

    def update(self) -> None:
        """Count an image, and print a line if it completes a tenth."""
        self._done += 1
        if 10 * self._done // self._total == 10 * (self._done - 1) // self._total:
            return
        seconds = time.monotonic() - self._begun
        line = tqdm.format_meter(
            self._done, self._total, seconds, ncols=0, prefix=self._description, unit="image"
        )
        print_message(line)


def _shown_progress(
    total: int, description: str, quiet: bool
) -> AbstractContextManager[tqdm[NoReturn] | ProgressLines | None]:
    """A bar on a terminal, lines elsewhere, nothing if quiet."""
    if quiet:
        return nullcontext()
    messages = Messages()
    if messages.isatty():
        return tqdm(total=total, desc=description, unit="image", file=messages)
    return nullcontext(ProgressLines(total, description))


@contextmanager
def _shared_cores(workers: int) -> Iterator[None]:
    """Limit torch, where it is loaded, to the threads that the workers leave to each operation."""
    torch = sys.modules.get("torch")
    if torch is None:  # the workers only read files
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, available_cores() // workers)))
    try:
        yield
    finally:
        torch.set_num_threads(before)

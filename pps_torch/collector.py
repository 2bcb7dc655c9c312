"""Python's search for cycles, paused while millions of objects are made that have none."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_num_inside = 0
_was_enabled = False


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause Python's search for cycles, until the last of the threads inside leaves.

    While dicts or tuples are made by the million, and as long as they are there, the search takes
    longer than making them; what JSON holds, and what becomes of it, has few cycles.
    """
    global _num_inside, _was_enabled
    with _lock:
        if _num_inside == 0:
            _was_enabled = gc.isenabled()
            gc.disable()
        _num_inside += 1
    try:
        yield
    finally:
        with _lock:
            _num_inside -= 1
            if _num_inside == 0 and _was_enabled:
                gc.enable()

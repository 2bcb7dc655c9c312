"""Counts what one call would launch on CUDA: kernels of Triton, and those of torch's operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.timing import num_bytes
from torch._library.custom_ops import OPDEFS
from torch.utils._python_dispatch import TorchDispatchMode

from budget.stub_driver import Launch, Log

#: Operations that allocate, and launch nothing.
ALLOCATIONS = {"empty", "new_empty", "empty_like", "new_empty_strided", "empty_strided"}
#: Operations that look at a tensor in another way.
VIEWS = {"_unsafe_view", "_reshape_alias", "lift_fresh", "detach", "alias"}
#: Operations that are several kernels.
SEVERAL = {"sort": 4, "topk": 12}


@dataclass
class Count:
    """What one call launches."""

    launches: list[Launch]
    aten_launches: int
    aten_bytes: int

    @property
    def total(self) -> int:
        """All launches."""
        return len(self.launches) + self.aten_launches

    @property
    def given(self) -> int:
        """Bytes of the tensors that each launch is given, as a whole, whatever it reads of them."""
        return self.aten_bytes + sum(launch.num_bytes for launch in self.launches)


class _Aten(TorchDispatchMode):
    """Counts the operations of torch, inside the package's own operations too."""

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        space, name = func._schema.name.split("::")
        if space == "pps_torch":
            with self:
                return OPDEFS[func._schema.name]._init_fn(*args, **(kwargs or {}))
        output = func(*args, **(kwargs or {}))
        if not (func.is_view or name in VIEWS or name in ALLOCATIONS) and num_bytes(output):
            self.launches += SEVERAL.get(name, 1)
            self.bytes += num_bytes(tuple(args)) + num_bytes(output)
        return output


def count(run: Callable[[], object], log: Log) -> Count:
    """Counts the second of two calls: the first also fills tables."""
    run()
    log.clear()
    with _Aten() as aten:
        run()
    return Count(list(log.launches), aten.launches, aten.bytes)


def host_seconds(run: Callable[[], object], calls: int = 100) -> float:
    """Processor time of a call whose launches do nothing: Python, dispatcher, and launcher.

    On tiny inputs: torch's own operations do their work on the CPU here.
    """
    best = float("inf")
    for _ in range(5):
        begun = time.process_time()
        for _ in range(max(calls // 5, 1)):
            run()
        best = min(best, (time.process_time() - begun) / max(calls // 5, 1))
    return best

"""How time and bandwidth are measured, on the host and on a CUDA device."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.table import Spread


def host_seconds(function: Callable[[], object], rounds: int) -> list[float]:
    """Seconds of each of `rounds` calls on the host, after one that is not counted."""
    function()
    return [seconds_of(function) for _ in range(rounds)]


def seconds_of(function: Callable[[], object]) -> float:
    """Seconds of one call on the host."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


@dataclass
class Clock:
    """Times work on one device.

    On CUDA by events, with the L2 cache flushed before each repetition, so that inputs come from
    memory as they do in a pipeline.

    Attributes:
        rounds: repetitions, after up to three that are not counted.
        limit: seconds after which no further repetition starts (three are always counted).
    """

    device: torch.device
    rounds: int = 50
    limit: float = 4.0

    def __post_init__(self) -> None:
        self.flushed = None
        if self.device.type == "cuda":
            cache = torch.cuda.get_device_properties(self.device).L2_cache_size
            self.flushed = torch.empty(4 * cache, dtype=torch.uint8, device=self.device)

    def called(self, function: Callable[[], object]) -> Spread:
        """As a user calls it: the device is idle at the call, so launches count."""
        if self.flushed is None:
            return self._repeated(lambda: seconds_of(function))
        return self._repeated(lambda: self._event_seconds(function, idle=True))

    def replayed(self, function: Callable[[], object]) -> tuple[Spread, object] | None:
        """Replayed from a CUDA graph, queued without a gap: the device's own time.

        Returns:
            the times and the output of the last replay; None on the CPU.
        """
        if self.flushed is None:
            return None
        graph, output = capture(function)
        spread = self._repeated(lambda: self._event_seconds(graph.replay, idle=False))
        return spread, output

    def copy_bandwidth(self) -> float:
        """Bytes a second that a large copy reads and writes."""
        size = 2**30 if self.device.type == "cuda" else 2**26
        source = torch.randint(256, (size,), dtype=torch.uint8, device=self.device)
        target = torch.empty_like(source)
        return 2 * size / self.called(lambda: target.copy_(source)).median

    def _repeated(self, measure: Callable[[], float]) -> Spread:
        begin = time.perf_counter()
        for _ in range(3):
            measure()
            if time.perf_counter() - begin > self.limit:
                break
        seconds: list[float] = []
        begin = time.perf_counter()
        while len(seconds) < self.rounds:
            seconds.append(measure())
            if len(seconds) >= 3 and time.perf_counter() - begin > self.limit:
                break
        return Spread.of(seconds)

    def _event_seconds(self, function: Callable[[], object], idle: bool) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.flushed.zero_()
        if idle:
            torch.cuda.synchronize(self.device)
        begin.record()
        function()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1000


def capture(function: Callable[[], object]) -> tuple[torch.cuda.CUDAGraph, object]:
    """A CUDA graph of one call, and the tensors that each replay fills."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = function()
    graph.replay()
    torch.cuda.synchronize()
    return graph, output


def tensors_of(value: object) -> list[Tensor]:
    """All tensors in nested tuples."""
    if isinstance(value, Tensor):
        return [value]
    return [t for item in value for t in tensors_of(item)] if isinstance(value, tuple) else []


def num_bytes(value: object) -> int:
    """Bytes of all tensors in nested tuples."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(value))

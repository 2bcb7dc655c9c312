"""Lists the kernels of each public call with their times: `python -m verification.kernel_times`.

As torch.profiler sees them: of several calls the median, the L2 cache flushed before each as in
the benchmark. Copies and fills count as kernels. On the CPU, operations stand in for kernels.
"""

from __future__ import annotations

import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from benchmarks.timing import Clock
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from verification.calls import main, synchronize

CALLS_PROFILED = 5
#: Kernels of a call that have a row of their own.
MOST_KERNELS = 30


def kernel_times(name: str, make: Callable, device: torch.device) -> Iterator[tuple[str, str, str]]:
    """The rows of a call: the sum, then each kernel, the slowest first."""
    run, flushed = make().run, Clock(device).flushed
    run()
    launches, microseconds = defaultdict(list), defaultdict(list)
    for _ in range(CALLS_PROFILED):
        if flushed is not None:
            flushed.zero_()
        for kernel, (count, time) in profiled(run, device).items():
            launches[kernel].append(count)
            microseconds[kernel].append(time)
    medians = {kernel: statistics.median(times) for kernel, times in microseconds.items()}
    counts = {kernel: max(found) for kernel, found in launches.items()}
    yield "**all**", str(sum(counts.values())), f"{sum(medians.values()):.1f}"
    slowest = sorted(medians, key=medians.__getitem__, reverse=True)
    for kernel in slowest[:MOST_KERNELS]:
        yield f"`{kernel}`", str(counts[kernel]), f"{medians[kernel]:.1f}"
    if rest := slowest[MOST_KERNELS:]:
        yield "others", str(sum(map(counts.get, rest))), f"{sum(map(medians.get, rest)):.1f}"


def profiled(run: Callable[[], object], device: torch.device) -> dict[str, tuple[int, float]]:
    """Launches and microseconds of each kernel in one call."""
    on_cuda = device.type == "cuda"
    synchronize(device)
    with profile(activities=[ProfilerActivity.CUDA if on_cuda else ProfilerActivity.CPU]) as prof:
        run()
        synchronize(device)
    found: dict[str, tuple[int, float]] = {}
    for event in prof.key_averages():
        if (event.device_type == DeviceType.CUDA) != on_cuda:
            continue
        time = event.self_device_time_total if on_cuda else event.self_cpu_time_total
        count, earlier = found.get(short_name(event.key), (0, 0.0))
        found[short_name(event.key)] = (count + event.count, earlier + time)
    return found


def short_name(kernel: str) -> str:
    """The name of a kernel in a line: of a template, what tells it from others."""
    kernel = re.sub(r"\(anonymous namespace\)::|at(_cuda_detail)?::(native::)?|^void ", "", kernel)
    functor = re.search(r"(\w*[Ff]unctor\w*|\w+_kernel_cuda|\w+_kernel_impl)", kernel)
    outer = kernel.split("<")[0].split("(")[0]
    if functor and functor[0] not in outer:
        outer = f"{outer}: {functor[0]}"
    return outer.replace("|", "/")[:80]


if __name__ == "__main__":
    sys.exit(main(("kernel", "launches", "us"), kernel_times))

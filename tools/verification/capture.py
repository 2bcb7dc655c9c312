"""Runs the benchmark's scenes without synchronisation and from CUDA graphs.

`python -m verification.capture`: after one call to warm up, a call under the sync-debug mode
"error", and the replay of a captured call, whose result must be that of the call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import torch
from benchmarks.table import Difference
from benchmarks.timing import capture
from torch import Tensor, nn

from verification.calls import main, named_tensors, synchronize


def check(name: str, make: Callable, device: torch.device) -> Iterator[tuple[str, str]]:
    """The row of a call."""
    run = make().run
    expected = _counted(run, run())
    if device.type != "cuda":
        yield "not CUDA", "not CUDA"
        return
    synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    graph, output = capture(run)
    found = _counted(graph.replay, output)
    synchronize(device)
    for key, tensor in expected.items():
        if not torch.equal(found[key], tensor):
            raise Difference(f"{key}: replayed from a CUDA graph, the values are others")
    yield "does not wait", "replay equals the call"


def _counted(run: Callable[[], object], output: object) -> dict[str, Tensor]:
    """What one more run gives: the output's tensors; of a metric, what it adds to the states."""
    before = {key: tensor.clone() for key, tensor in named_tensors(output).items()}
    fresh = run()
    after = named_tensors(output if fresh is None else fresh)
    if isinstance(output, nn.Module):
        return {key: tensor - before[key] for key, tensor in after.items()}
    return {key: tensor.clone() for key, tensor in after.items()}


if __name__ == "__main__":
    sys.exit(main(("sync-debug", "CUDA graph"), check))

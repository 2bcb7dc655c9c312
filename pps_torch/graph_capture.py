"""Whether a graph is being captured, and what that rules out: to read values, to keep tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

_HAS_EXPORTING_FLAG = hasattr(torch.compiler, "_is_exporting_flag")


def is_on_host(reference: Tensor) -> bool:
    """Say whether Python may read values: on the CPU, and not while a graph is captured.

    Raises:
        RuntimeError: in `torch.jit.trace`, which would record values of the example as constants,
            and in transforms of `torch.func`, whose tensors have none.
    """
    if torch.compiler.is_compiling():
        return False
    if torch._C._is_tracing():
        raise RuntimeError("torch.jit.trace cannot record pps_torch; use torch.export")
    if torch._C._functorch.is_functorch_wrapped_tensor(reference):
        raise RuntimeError(
            "torch.func.vmap and torch.func.grad cannot transform pps_torch: give a batch as "
            "dimensions in front; what merges and counts has no gradient"
        )
    return reference.is_cpu


def is_exporting() -> bool:
    """Say whether `torch.export` captures a program, and not `torch.compile`.

    The flag behind `torch.compiler.is_exporting`, which Dynamo takes to be true in both. Torch 2.6
    has none; it says no.
    """
    return _HAS_EXPORTING_FLAG and torch.compiler._is_exporting_flag


def in_float64(number: float, reference: Tensor) -> float | Tensor:
    """A number to compare float64 with: of an exported program a tensor, on a reference's device.

    ONNX programs hold the numbers of Python in float32, in which 0.8 is above 4 / 5.
    """
    if not is_exporting():
        return number
    return torch.tensor(number, dtype=torch.float64, device=reference.device)


def can_keep_tensors() -> bool:
    """Say whether tensors made now may be kept for later calls.

    Those of a mode such as FakeTensorMode must not outlive it; torch.compile takes care itself.
    """
    return torch.compiler.is_compiling() or _get_current_dispatch_mode() is None

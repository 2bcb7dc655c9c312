"""A driver of Triton that launches nothing: what would be compiled and launched is written down.

Kernels are specialised as for a GPU of the target, on tensors of the CPU. `install` comes before
the first launch of a process, in which `TRITON_INTERPRET` is not set.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Variant:
    """A kernel as it would be compiled: for these types, constants and alignments."""

    kernel: Any
    signature: dict[str, str]
    constants: dict
    attributes: dict
    options: Any
    key: str

    @property
    def name(self) -> str:
        """The kernel's."""
        return self.kernel.fn.__name__

    @property
    def asked_for(self) -> tuple:
        """What the caller chose: the kernel, its pointers' types and declared constants.

        Variants that share it differ only in sizes that became 1 or divisible by 16, or alignment.
        """
        is_constant = {p.name: p.is_constexpr for p in self.kernel.params}
        names = self.kernel.arg_names
        return (
            f"{self.kernel.fn.__module__.rpartition('.')[2]}.{self.name}",
            tuple(kind for kind in self.signature.values() if kind.startswith("*")),
            tuple((names[p[0]], v) for p, v in self.constants.items() if is_constant[names[p[0]]]),
            str(self.options),
        )


@dataclass(frozen=True)
class Launch:
    """A variant, its grid, and the bytes of the tensors that it is given."""

    variant: Variant
    grid: tuple[int, int, int]
    num_bytes: int

    @property
    def num_warps(self) -> int:
        """Of all programs."""
        return math.prod(self.grid) * self.variant.options.num_warps


@dataclass
class Log:
    """Everything since the last `clear`, in order."""

    compiled: list[Variant] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)

    def clear(self) -> None:
        """Forgets what was launched; what was compiled is held, as a process holds it."""
        self.launches.clear()


def install(capability: int = 90) -> Log:
    """Puts the stub in place of the driver, and lets Triton run on the CPU's tensors."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise RuntimeError("TRITON_INTERPRET: expected it unset, found 1")
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    import pps_torch
    from pps_torch.ops import backend

    log = Log()

    def do_compile(kernel, key, signature, device, constants, options, attributes, warmup):
        variant = Variant(kernel, dict(signature), dict(constants), attributes, options, key)
        log.compiled.append(variant)
        stub = kernel.device_caches[device][0][key] = _Kernel(variant, log)
        return stub

    driver.set_active(_Driver(capability))
    JITFunction._do_compile = do_compile
    backend._IS_INTERPRETED = True  # it may run on tensors of the CPU
    for function in ("new_empty", "empty_like"):
        owner = Tensor if function == "new_empty" else torch
        setattr(owner, function, _zeroed(getattr(owner, function)))
    assert pps_torch.merge_pps  # its modules are loaded
    for name, module in list(sys.modules.items()):  # they go the way of CUDA
        if name.startswith("pps_torch") and hasattr(module, "is_on_host"):
            module.is_on_host = lambda reference: False
    return log


class _Kernel:
    """Stands for a compiled kernel; its launch is a line of the log."""

    function = packed_metadata = None

    def __init__(self, variant: Variant, log: Log) -> None:
        self.variant, self.log = variant, log

    def launch_metadata(self, *_: object) -> None:
        """Nobody asks for it."""

    def __getitem__(self, grid: tuple[int, int, int]) -> Callable[..., None]:
        """As a compiled kernel is launched that is at hand."""
        return lambda *arguments: self.run(*grid, *arguments)

    def run(self, x: int, y: int, z: int, *rest: object) -> None:
        """What the launcher would do."""
        tensors = [value for value in rest if isinstance(value, Tensor)]
        num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
        self.log.launches.append(Launch(self.variant, (x, y, z), num_bytes))


class _Driver:
    """As much of a driver as a launch asks for."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> object:
        """The GPU that kernels are compiled for."""
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """The default one."""
        return 0


def _zeroed(allocate):
    """An allocation that holds zeros, as no kernel fills it."""

    def allocated(*arguments, **options):
        tensor = allocate(*arguments, **options)
        if type(tensor) is Tensor and tensor.numel() and tensor.device.type == "cpu":
            storage = tensor.untyped_storage()  # by no operation of torch: that would be counted
            ctypes.memset(storage.data_ptr(), 0, storage.nbytes())
        return tensor

    return allocated

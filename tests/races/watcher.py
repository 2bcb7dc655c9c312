"""Watches the memory accesses of Triton kernels in the interpreter, and names those that may clash.

What each program of a launch reads and writes is written down; when the launch is over, it is
searched for

- **races**: two programs touch one address, and one of them stores without an atomic, or one reads
  what another changes by an atomic;
- **missing barriers**: two threads of one program do so between two `tl.debug_barrier()`s. Lanes of
  tensors of one shape are taken to be the same thread;
- **stray accesses**: an address that lies in no tensor of the launch; it is left out, as a GPU
  would end the process there;
- **grids** with more programs along y or z than CUDA launches.

Programs run one after the other, but what is found does not depend on their order, only on the
path that each takes. What does no harm stands in `HARMLESS`, with the reason.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from triton.runtime import interpreter
from triton.runtime.interpreter import GridExecutor, InterpreterBuilder, TensorHandle

LOAD, STORE, ATOMIC = range(3)
NAMES = ("load", "store", "atomic")
MOST_ALONG_Y = 65_535
#: Of a clash whose stores write one value only, wherever they write.
ONE_VALUE = ", stores of one value"

_MARKS = "all store 1, and who reads 0 stores 1 too"
#: Clashes that do no harm: (kernel, kind) -> why.
HARMLESS = {
    ("_list_runs_kernel", f"RACE{ONE_VALUE}"): _MARKS,
    ("_list_runs_kernel", f"NO BARRIER{ONE_VALUE}"): _MARKS,
    ("_number_segments_kernel", f"NO BARRIER{ONE_VALUE}"): "key 0 is no segment, whatever it holds",
}


@dataclass
class Watch:
    """What was found.

    Attributes:
        findings: (kernel, kind, lines) of each -> an example.
        launches: of each kernel.
    """

    findings: dict[tuple[str, str, str], str] = field(default_factory=dict)
    launches: Counter = field(default_factory=Counter)

    def harmful(self) -> str:
        """The findings but for those that do no harm, a line each."""
        lines = [
            f"{': '.join(k)}: {at}" for k, at in self.findings.items() if k[:2] not in HARMLESS
        ]
        return "\n".join(sorted(lines))


@dataclass
class _Access:
    """One operation of one program: which lanes touched which addresses."""

    kind: int
    program: int
    epoch: int
    shape: tuple[int, ...]
    line: str
    addresses: np.ndarray
    lanes: np.ndarray
    values: np.ndarray


class _Launch:
    """The accesses of one launch, and the search among them."""

    def __init__(self, watch: Watch, kernel: str, tensors: dict[str, torch.Tensor]) -> None:
        self.watch, self.kernel = watch, kernel
        self.spans = [(*_span(tensor), name) for name, tensor in tensors.items() if tensor.numel()]
        self.program = self.epoch = 0
        self.accesses: list[_Access] = []
        watch.launches[kernel] += 1

    def find(self, kind: str, lines: str, example: str) -> None:
        self.watch.findings.setdefault((self.kernel, kind, lines), example)

    def record(self, kind: int, pointers: TensorHandle, mask, value=None) -> TensorHandle:
        """Writes an access down -> its mask, without the lanes that stray."""
        shape = np.shape(pointers.data)
        size = max(pointers.get_element_ty().primitive_bitwidth // 8, 1)
        addresses = np.ravel(pointers.data).astype(np.int64)
        is_on = np.ones(shape, bool) if mask is None else np.broadcast_to(mask.data, shape) != 0
        is_on, line = is_on.ravel().copy(), _line()
        strays = is_on & ~self._is_inside(addresses, size)
        if strays.any():
            where = self._nearest(int(addresses[strays][0]))
            self.find(f"STRAY {NAMES[kind]}", line, f"{strays.sum()} lanes, one {where}")
            is_on &= ~strays
        lanes = np.flatnonzero(is_on)
        values = np.zeros(len(lanes), np.int64)
        if kind == STORE:
            values = _bits(np.broadcast_to(value.data, shape).ravel()[lanes])
        here = (kind, self.program, self.epoch, shape, line)
        self.accesses.append(_Access(*here, addresses[lanes], lanes, values))
        return TensorHandle(is_on.reshape(shape), interpreter.tl.int1)

    def search(self) -> None:
        """Finds the clashes among all accesses."""
        if not any(len(access.addresses) for access in self.accesses):
            return
        counts = [len(access.addresses) for access in self.accesses]
        shapes = {shape: n for n, shape in enumerate({access.shape for access in self.accesses})}
        columns = [
            np.repeat([getattr(access, name) for access in self.accesses], counts)
            for name in ("program", "epoch", "kind")
        ]
        program, epoch, kind = columns
        access = np.repeat(np.arange(len(counts)), counts)
        thread = np.repeat([shapes[a.shape] << 40 for a in self.accesses], counts)
        thread = thread + np.concatenate([a.lanes for a in self.accesses])
        address = np.concatenate([a.addresses for a in self.accesses])
        value = np.concatenate([a.values for a in self.accesses])
        for keys, actor, clash in (
            ([address], program, "RACE"),
            ([address, program, epoch], thread, "NO BARRIER"),
        ):
            order = np.lexsort(keys[::-1])
            is_first = np.any([np.diff(key[order], prepend=-1) != 0 for key in keys], 0)
            starts = np.flatnonzero(is_first)
            for part in _clashing(starts, len(order), actor[order], kind[order]):
                self._name(clash, order[part], access, kind, value, address)

    def _name(self, clash: str, rows: np.ndarray, access, kind, value, address) -> None:
        stored = kind[rows] == STORE
        if len(set(access[rows])) == 1 and len(set(value[rows])) == 1 and stored.all():
            return  # lanes of one store, all with one value
        sides = []
        for one in sorted(set(kind[rows])):
            lines = {self.accesses[number].line for number in access[rows[kind[rows] == one]]}
            sides.append(f"{NAMES[one]} at {', '.join(sorted(lines))}")
        writes = [self.accesses[number].values for number in set(access[rows[stored]])]
        if writes and len(np.unique(np.concatenate(writes))) == 1:
            clash += ONE_VALUE
        self.find(clash, " <> ".join(sides), self._nearest(int(address[rows[0]])))

    def _is_inside(self, addresses: np.ndarray, size: int) -> np.ndarray:
        inside = np.zeros(addresses.shape, bool)
        for start, stop, _ in self.spans:
            inside |= (addresses >= start) & (addresses + size <= stop)
        return inside

    def _nearest(self, address: int) -> str:
        """An address as a place in, before or after the tensor that is nearest."""
        if not self.spans:
            return "where no tensor is"
        start, stop, name = min(
            self.spans, key=lambda span: max(span[0] - address, address - span[1] + 1, 0)
        )
        if start <= address < stop:
            return f"byte {address - start} of {name}"
        is_after = address >= stop
        return (
            f"{address - stop} bytes after {name}"
            if is_after
            else f"{start - address} before {name}"
        )


def _clashing(starts: np.ndarray, length: int, actor, kind) -> Iterator[slice]:
    """The groups of accesses in which several actors meet, and not all only read or only add."""
    if length == 0:
        return
    several = np.minimum.reduceat(actor, starts) != np.maximum.reduceat(actor, starts)
    stores, atomics, loads = (np.maximum.reduceat(kind == k, starts) for k in (STORE, ATOMIC, LOAD))
    stops = np.append(starts[1:], length)
    for group in np.flatnonzero(several & (stores | (atomics & loads))):
        yield slice(starts[group], stops[group])


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """The addresses from the first element of a tensor to behind its last."""
    last = sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.stride()))
    return tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()


def _bits(values: np.ndarray) -> np.ndarray:
    """Numbers as int64 that are equal where they are."""
    if values.dtype.kind == "f":
        values = values.astype(np.float64).view(np.int64)
    return values.astype(np.int64)


def _line() -> str:
    """The line of the kernel that runs, with its file."""
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if path != __file__ and "triton/runtime/" not in path and "triton/language/" not in path:
            return f"{Path(path).name}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown line"


class _Hooks:
    """The methods of the interpreter while launches are watched; `of` each is what was there."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.launch: _Launch | None = None

    def call(self, original):
        def launch(executor, *arguments, **named):
            named_arguments = {**dict(zip(executor.arg_names, arguments)), **named}
            tensors = {n: a for n, a in named_arguments.items() if isinstance(a, torch.Tensor)}
            self.launch = _Launch(self.watch, executor.fn.__name__, tensors)
            original(executor, *arguments, **named)
            self.launch.search()

        return launch

    def grid(self, original):
        def set_grid(builder, *grid):
            if max(grid[1:]) > MOST_ALONG_Y:
                self.launch.find("GRID", "launch", str(grid))
            return original(builder, *grid)

        return set_grid

    def program(self, original):
        def set_program(builder, x, y, z):
            self.launch.program, self.launch.epoch = (x << 32) + (y << 16) + z, 0
            return original(builder, x, y, z)

        return set_program

    def barrier(self, original):
        def pass_barrier(builder, *rest):
            self.launch.epoch += 1
            return original(builder, *rest)

        return pass_barrier

    def load(self, original):
        def record(builder, pointers, mask, *rest):
            return original(builder, pointers, self.launch.record(LOAD, pointers, mask), *rest)

        return record

    def store(self, original):
        def record(builder, pointers, value, mask, *rest):
            mask = self.launch.record(STORE, pointers, mask, value)
            return original(builder, pointers, value, mask, *rest)

        return record

    def swap(self, original):
        def record(builder, pointers, expected, *rest):
            is_inside = self.launch.record(ATOMIC, pointers, None)
            return (
                original(builder, pointers, expected, *rest) if is_inside.data.all() else expected
            )

        return record

    def atomic(self, original):
        def record(builder, operation, pointers, value, mask, *rest):
            mask = self.launch.record(ATOMIC, pointers, mask)
            return original(builder, operation, pointers, value, mask, *rest)

        return record


@contextmanager
def watched() -> Iterator[Watch]:
    """Watches all launches inside; kernels run in the interpreter."""
    watch = Watch()
    hooks = _Hooks(watch)
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, hook in (
            (GridExecutor, "__call__", hooks.call),
            (InterpreterBuilder, "set_grid_dim", hooks.grid),
            (InterpreterBuilder, "set_grid_idx", hooks.program),
            (InterpreterBuilder, "create_barrier", hooks.barrier),
            (InterpreterBuilder, "create_masked_load", hooks.load),
            (InterpreterBuilder, "create_masked_store", hooks.store),
            (InterpreterBuilder, "create_atomic_rmw", hooks.atomic),
            (InterpreterBuilder, "create_atomic_cas", hooks.swap),
        ):
            patch.setattr(owner, name, hook(getattr(owner, name)))
        yield watch

"""Launches of kernels that the host has launched before with arguments of the same kinds."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.functional_tensor import FunctionalTensor


class Launcher:
    """Launches the kernels of an operator; of each, Triton looks up the compiled variant once.

    The variant depends on dtypes, alignments, and what sizes can be divided by. The lookup takes
    several times as long as the launch; here it is done once for all calls of an operator with
    equal facts. Of tensors of a graph that is being made, a launch becomes a node of the graph.

    Args:
        facts: all that tells calls of an operator apart: its name, its numbers, and its tensors, of
            which the values do not matter, but the exact shapes: at a new size the first call looks
            up anew. A kernel is launched with arguments of the same kinds whenever the facts are
            equal, also if it is launched several times.
    """

    def __init__(self, *facts: Any) -> None:
        self._is_in_graph = any(map(is_in_graph, facts))
        if not self._is_in_graph:
            known = [_kind(fact) if isinstance(fact, Tensor) else fact for fact in facts]
            self._variants = _variants_of(*known)

    def __call__(self, kernel: Any, num_programs: int, **arguments: Any) -> None:
        """Launch a kernel with its arguments, and options of its compiler, by their names."""
        grid = (num_programs, 1, 1)
        if self._is_in_graph:
            torch.library.wrap_triton(kernel)[grid](**arguments)
            return
        known = self._variants.get(id(kernel))
        if known is not None:
            variant, defaults, in_order = known
            variant[grid](*in_order({**defaults, **arguments}))
        elif (variant := kernel[grid](**arguments)) is not None:  # None in the interpreter
            defaults = {p.name: p.default for p in kernel.params if p.has_default}
            self._variants[id(kernel)] = variant, defaults, operator.itemgetter(*kernel.arg_names)


def is_in_graph(fact: object) -> bool:
    """Say whether this is a tensor of a graph that is being made, which has no address yet."""
    return isinstance(fact, FunctionalTensor)


def num_blocks(length: int, block: int) -> int:
    """How many blocks cover a length."""
    return -(-length // block)


def _kind(tensor: Tensor) -> tuple[Any, ...]:
    """What launches may depend on; 16 bytes are the most that a load is aligned to."""
    start = (tensor.data_ptr() % 16, tensor.storage_offset() % 16)
    return tensor.dtype, tensor.device, tensor.shape, tensor.stride(), start


#: A compiled variant, the default arguments of its kernel, and what puts all arguments in order.
_Variant = tuple[Any, dict[str, Any], Callable[[dict[str, Any]], tuple[Any, ...]]]


# Many more calls than a loop makes that repeats itself, and few enough that sizes which never come
# again are forgotten. Typed: kernels are compiled otherwise for 1 than for 1.0.
@functools.lru_cache(maxsize=256, typed=True)
def _variants_of(*known: Any) -> dict[int, _Variant]:
    """The variants of kernels launched where these facts held, by the ids of the kernels."""
    return {}

"""A state carried through steps: a loop of Python, and one operator in an exported program."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pps_torch.graph_capture import is_exporting, is_on_host

# With older releases exported loops have not been tested: there each step has its own nodes.
_HAS_LOOPS = torch.__version__ >= "2.11.0a0"


def is_one_loop() -> bool:
    """Tell whether `fold` makes one operator now: while `torch.export` captures a program."""
    return _HAS_LOOPS and is_exporting()


def fold(
    step: Callable[..., tuple[Tensor, ...]],
    state: tuple[Tensor, ...],
    count: int | Tensor,
    *,
    start: int = 0,
) -> tuple[Tensor, ...]:
    """Carry a state through `state = step(index, *state)` for the indices from `start` to `count`.

    Each round of an exported loop copies what `step` returns: large tensors that do not change are
    closed over. Steps return numbers, not bools, for each pixel: Inductor's vectorised code for the
    CPU writes bools one by one, which takes longer than all else of a round. There an index is a
    tensor, so steps take values by `at`.

    Args:
        step: takes an index and the tensors of the state, and returns them anew, each of the
            same shape and dtype, none changed in place.
        state: the tensors before the first step.
        count: the end of the indices; a tensor `()` int64 in an exported program.
        start: the first index.

    Returns:
        the state after the last step.
    """
    if not is_one_loop():
        for index in range(start, int(count)):
            state = step(index, *state)
        return state
    from torch._higher_order_ops.while_loop import while_loop

    def has_next(index: Tensor, *state: Tensor) -> Tensor:
        return index < count

    def body(index: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return index + 1, *step(index, *state)

    first = torch.full((), start, dtype=torch.int64, device=state[0].device)
    return while_loop(has_next, body, (first, *state))[1:]


def at(values: Tensor, dim: int, index: int | Tensor) -> Tensor:
    """The slice of one index of a dimension, which stays: a view, or a copy for an index `()`."""
    if isinstance(index, Tensor):
        return values.index_select(dim, index.view(1))
    return values.narrow(dim, index, 1)


def listed(is_in: Tensor) -> tuple[Tensor, int | Tensor]:
    """List the places where `(K,)` bool is true, in rising order.

    Returns:
        `(K,)` int64, of which the first are those places, and how many. Where neither Python nor a
        loop may depend on values, all places, and K.
    """
    size = is_in.shape[0]
    if is_one_loop():
        return first_places(is_in), is_in.sum()
    if is_on_host(is_in):
        places = is_in.nonzero()[:, 0]
        return places, len(places)
    return torch.arange(size, device=is_in.device), size


def first_places(is_in: Tensor) -> Tensor:
    """The places where `(K,)` bool is true, then zeros, as `(K,)` int64."""
    size = is_in.shape[0]
    target = torch.where(is_in, is_in.long().cumsum(0) - 1, size)
    places = torch.arange(size, device=is_in.device)
    return places.new_zeros(size + 1).scatter(0, target, places)[:size]

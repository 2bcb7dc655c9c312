"""Operators of torch that cost nothing where nothing looks at them, or show their kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

import torch
from torch import Tensor
from torch._subclasses.functional_tensor import FunctionalTensor, FunctionalTensorMode
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils._pytree import tree_map_only

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_shows_kernels = ContextVar("_shows_kernels", default=False)

#: The types of nearly all arguments, none of which is a subclass of `Tensor` or holds one.
_PLAIN = frozenset({Tensor, bool, int, float, type(None)})


@contextmanager
def kernels_in_graphs() -> Iterator[None]:
    """In this context a compiler's graph has the kernels of an operator in place of the operator.

    They are those that it launches for tensors of the example's sizes.
    """
    token = _shows_kernels.set(True)
    try:
        yield
    finally:
        _shows_kernels.reset(token)


class DirectOperator(Generic[Arguments, Result]):
    """A function, and the operator of torch that stands for it in graphs.

    Compilers, modes such as FakeTensorMode and subclasses of tensors see the operator. Where there
    is none, the function itself is called, which saves as much host time as three launches take.
    It has no gradient.
    """

    def __init__(
        self, name: str, function: Callable[Arguments, Result], mutates_args: Sequence[str]
    ) -> None:
        self._function = function
        # Torch 2.6 looks for the name of a type among its own, not among those of the function.
        if function.__annotations__["return"] != "None":
            function.__annotations__["return"] = get_type_hints(function)["return"]
        self._operator = torch.library.custom_op(name, function, mutates_args=mutates_args)
        self._operator.register_torch_dispatch(FunctionalTensorMode, self._put_in_graph)
        self.register_fake = self._operator.register_fake
        self.__doc__ = function.__doc__

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Call the function, or the operator where something looks at it."""
        is_looked_at = (
            torch.compiler.is_compiling()
            or _get_current_dispatch_mode() is not None
            or _hold_subclass((*args, *kwargs.values()))
        )
        if not is_looked_at:
            return self._function(*args, **kwargs)
        with torch.no_grad():
            return self._operator(*args, **kwargs)

    def _put_in_graph(
        self,
        mode: FunctionalTensorMode,
        operator: Any,
        types: Sequence[type],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Handle a call while a compiler makes its graph, as `torch.library.triton_op` does."""
        if not _shows_kernels.get():
            return mode.__torch_dispatch__(operator, types, args, kwargs)
        with mode:  # constants of the program become tensors of it
            args, kwargs = tree_map_only(Tensor, _functional, (args, kwargs))
            return self._function(*args, **kwargs)


def _functional(tensor: Tensor) -> Tensor:
    if isinstance(tensor, FunctionalTensor):
        return tensor
    return torch.ops.aten.lift_fresh_copy(tensor)


def _hold_subclass(values: Iterable[object]) -> bool:
    """Whether a tensor of another class than `Tensor` is among values, or in a list of them."""
    if _PLAIN.issuperset(map(type, values)):
        return False
    return any(
        _hold_subclass(value)
        if isinstance(value, (tuple, list))
        else isinstance(value, Tensor) and type(value) is not Tensor
        for value in values
    )


def direct_operator(
    name: str, *, mutates_args: Sequence[str] = ()
) -> Callable[[Callable[Arguments, Result]], DirectOperator[Arguments, Result]]:
    """Register a function as an operator of torch, as `torch.library.custom_op` does.

    Args:
        name: `"pps_torch::..."`.
        mutates_args: the names of the arguments that it changes.
    """
    return lambda function: DirectOperator(name, function, mutates_args)

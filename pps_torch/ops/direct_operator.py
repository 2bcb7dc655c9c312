"""Operators of torch that cost nothing where nothing looks at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, ParamSpec, TypeVar, get_type_hints

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


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
        self.register_fake = self._operator.register_fake
        self.__doc__ = function.__doc__

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Call the function, or the operator where something looks at it."""
        if torch.compiler.is_compiling() or _get_current_dispatch_mode() is not None:
            return self._operator(*args, **kwargs)
        if any(_holds_subclass(arg) for arg in (*args, *kwargs.values())):
            return self._operator(*args, **kwargs)
        return self._function(*args, **kwargs)


def _holds_subclass(arg: object) -> bool:
    """Whether an argument is, or lists, a tensor of another class than `Tensor`."""
    if isinstance(arg, (tuple, list)):
        return any(_holds_subclass(item) for item in arg)
    return isinstance(arg, Tensor) and type(arg) is not Tensor


def direct_operator(
    name: str, *, mutates_args: Sequence[str] = ()
) -> Callable[[Callable[Arguments, Result]], DirectOperator[Arguments, Result]]:
    """Register a function as an operator of torch, as `torch.library.custom_op` does.

    Args:
        name: `"pps_torch::..."`.
        mutates_args: the names of the arguments that it changes.
    """
    return lambda function: DirectOperator(name, function, mutates_args)

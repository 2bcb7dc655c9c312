"""Arguments by the names that they had in earlier versions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


def accept_former_names(**name_now: str) -> Callable[[AnyFunction], AnyFunction]:
    """Let a function take keyword arguments by their former names, too.

    The signature, for readers and for type checkers, has the present names only.

    Args:
        name_now: former name -> present name.
    """

    def decorate(function: AnyFunction) -> AnyFunction:
        @functools.wraps(function)
        def renamed(*args: Any, **kwargs: Any) -> Any:
            for former, name in name_now.items():
                if former in kwargs:
                    if name in kwargs:
                        raise TypeError(
                            f"{function.__name__}: expected {name} once, found it also by its "
                            f"former name {former}"
                        )
                    kwargs[name] = kwargs.pop(former)
            return function(*args, **kwargs)

        return cast(AnyFunction, renamed)

    return decorate

"""Where the Triton kernels can be tested: the same releases on which the package uses them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from pps_torch.ops import backend as backends

REASON = "needs Triton and torch 2.8, the oldest on which the kernels are tested"
needs_triton = pytest.mark.skipif(not backends._HAS_TRITON, reason=REASON)
BACKENDS = ["torch", pytest.param("triton", marks=needs_triton)]
#: For tests of many cases, which take long in the interpreter.
TRITON_SLOWLY = ["torch", pytest.param("triton", marks=[needs_triton, pytest.mark.slow])]


@contextmanager
def quicker_interpreter() -> Iterator[None]:
    """Triton's interpreter with the names of its builtins looked up once.

    It lists all members of `triton.language` whenever a kernel calls a function, to put its own
    in the place of the builtins; that takes a quarter of its time.
    """
    from triton.language.core import is_builtin
    from triton.runtime import interpreter

    @functools.cache
    def builtins_of(owner: Any) -> list[str]:
        return [name for name, member in inspect.getmembers(owner) if is_builtin(member)]

    def getmembers(owner: Any) -> list[tuple[str, Any]]:
        return [(name, getattr(owner, name)) for name in builtins_of(owner)]

    with pytest.MonkeyPatch.context() as patch:
        quicker = SimpleNamespace(**{**vars(inspect), "getmembers": getmembers})
        patch.setattr(interpreter, "inspect", quicker)
        yield

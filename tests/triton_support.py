"""Where the Triton kernels can be tested: the same releases on which the package uses them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
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
    """Triton's interpreter with what it works out again and again looked up: half of its time.

    Around a kernel it puts its own functions in the place of the builtins of `triton.language`;
    around each function that the kernel calls it looks at all of them again.
    """
    from triton.runtime import interpreter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "inspect", _inspect_with_known_builtins())
        patch.setattr(interpreter, "_get_np_dtype", _with_known_dtypes(interpreter._get_np_dtype))
        tuples = interpreter.tl.core.tuple
        initialise, get = _untyped_until_asked(tuples)
        patch.setattr(tuples, "__init__", initialise)
        patch.setattr(tuples, "__getattr__", get)
        if hasattr(interpreter, "_LangPatchScope"):  # Triton 3.6
            patch.setattr(interpreter, "_patch_lang", _once_for_a_kernel(interpreter))
        yield


def _inspect_with_known_builtins() -> SimpleNamespace:
    """The module `inspect`, whose `getmembers` finds the builtins of Triton alone, at once."""
    from triton.language.core import is_builtin

    @functools.cache
    def builtins_of(owner: Any) -> list[str]:
        return [name for name, member in inspect.getmembers(owner) if is_builtin(member)]

    def getmembers(owner: Any) -> list[tuple[str, Any]]:
        return [(name, getattr(owner, name)) for name in builtins_of(owner)]

    return SimpleNamespace(**{**vars(inspect), "getmembers": getmembers})


def _with_known_dtypes(numpy_dtype: Callable) -> Callable:
    """The NumPy dtype of a Triton type, by the name of its elements."""
    known: dict[str, Any] = {}

    def look_up(dtype: Any) -> Any:
        name = dtype.scalar.name
        if name not in known:
            known[name] = numpy_dtype(dtype)
        return known[name]

    return look_up


def _untyped_until_asked(tuples: type) -> tuple[Callable, Callable]:
    """`__init__` and `__getattr__` of Triton's tuples, of which each shape is one.

    The type, with the names of all types in it, is worked out for the few whose type is read.
    """
    initialise, get = tuples.__init__, tuples.__getattr__

    def initialise_quickly(self: Any, values: Any, type: Any = None) -> None:
        if type is None:
            self.values = [*values]
        else:
            initialise(self, values, type)

    def get_or_initialise(self: Any, name: str) -> Any:
        if name != "type":
            return get(self, name)
        initialise(self, self.values)
        return self.type

    return initialise_quickly, get_or_initialise


def _once_for_a_kernel(interpreter: Any) -> Callable:
    """`_patch_lang`, which does nothing for a function if its kernel's call has done the same."""
    patch_lang, language = interpreter._patch_lang, interpreter.tl
    patched: set[str] = set()

    @functools.cache
    def languages_of(function: Callable) -> set[str]:
        seen = [value for value in function.__globals__.values() if inspect.ismodule(value)]
        return {module.__name__ for module in seen if module in (language, language.core)}

    def patch_once(function: Callable) -> Any:
        languages = languages_of(function)
        if languages <= patched:
            return interpreter._LangPatchScope()  # with nothing to restore
        is_kernel, scope = not patched, patch_lang(function)
        patched.update(languages)
        if is_kernel:
            restore = scope.restore
            scope.restore = lambda: (patched.clear(), restore())
        return scope

    return patch_once

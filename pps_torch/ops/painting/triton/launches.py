"""Launches that are repeated, of which only the first one costs the host what a launch costs."""

from __future__ import annotations

from typing import Any


class Launch:
    """A kernel with all but a few of its arguments, none of which a variant is compiled for.

    Triton looks at each argument of a launch to find the compiled variant; a launch after the first
    goes to that variant straight away.
    """

    def __init__(
        self, kernel: Any, num_programs: int, arguments: dict[str, Any], **options: Any
    ) -> None:
        self._kernel, self._grid = kernel, (num_programs, 1, 1)
        self._arguments, self._options = arguments, options
        self._compiled: Any = None  # stays so in the interpreter

    def __call__(self, **rest: int) -> None:
        """Launch the kernel with the rest of its arguments, which it must not specialize."""
        arguments = {**self._arguments, **rest}
        if self._compiled is None:
            self._compiled = self._kernel[self._grid](**arguments, **self._options)
        else:
            self._compiled[self._grid](*(arguments[name] for name in self._kernel.arg_names))

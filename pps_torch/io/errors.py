"""The error of the file layer: one line that a user can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A file or an argument is not as expected.

    Args:
        message: the file (and image, segment or key), what was expected and what was found.
        argument: the parameter that has a wrong value; None where a file is wrong.
        remedy: a parameter that helps, and what to use it for.

    Example:
        >>> print(InputError("expected at least 1, found 0", argument="workers"))
        workers: expected at least 1, found 0
        >>> error = InputError("a.json: already exists", remedy=("overwrite", "replace it"))
        >>> print(error)
        a.json: already exists; use overwrite to replace it
        >>> print(error.text(str.upper))
        a.json: already exists; use OVERWRITE to replace it
    """

    def __init__(
        self,
        message: str,
        *,
        argument: str | None = None,
        remedy: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.remedy = remedy

    def text(self, name_of: Callable[[str], str] = str) -> str:
        """The whole error, with the name that `name_of` gives to each parameter in it."""
        beginning = "" if self.argument is None else f"{name_of(self.argument)}: "
        end = ""
        if self.remedy is not None:
            parameter, purpose = self.remedy
            end = f"; use {name_of(parameter)} to {purpose}"
        return f"{beginning}{self.message}{end}"

    def __str__(self) -> str:
        return self.text()


@contextmanager
def input_errors_at(where: str) -> Iterator[None]:
    """Turn each ValueError of the library into an InputError that says where it came up."""
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error

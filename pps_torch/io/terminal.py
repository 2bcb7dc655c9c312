"""The terminal: what a job prints is no reason to end it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO
from weakref import WeakKeyDictionary

from pps_torch.io.errors import InputError

#: Why a stream could not be written; what it held then is lost, so it stays so.
_FAILURES: WeakKeyDictionary[TextIO, str] = WeakKeyDictionary()


def print_result(text: str) -> None:
    """Print a line to the standard output at once.

    Characters that it cannot show are written as `\\u8eca`. Once nobody reads it, as after
    `| head`, nothing is printed.

    Raises:
        InputError: it cannot be written, e.g. as the disk is full.
    """
    stream = sys.stdout
    if stream is None:  # it was closed before Python began
        raise InputError("the standard output: cannot be written: it is closed")
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(shown, file=stream, flush=True)
    except BrokenPipeError:
        _write_nowhere(stream)
    except OSError as error:
        _write_nowhere(stream)
        _FAILURES[stream] = error.strerror or str(error)
    if stream in _FAILURES:  # now or before
        raise InputError(f"the standard output: cannot be written: {_FAILURES[stream]}")


def print_note(text: str) -> None:
    """Print a line to the standard output; if that does not work, do without."""
    with suppress(InputError):
        print_result(text)


def print_message(text: str) -> None:
    """Print a line to the standard error; if that does not work, do without."""
    Messages().write(f"{text}\n")


class Messages:
    """The standard error as a file, for progress bars; what it does not take is lost."""

    encoding = "utf-8"

    def write(self, text: str) -> int:  # noqa: D102
        if sys.stderr is not None:
            with suppress(OSError, ValueError):  # ValueError: it is closed
                sys.stderr.write(text)
                sys.stderr.flush()
        return len(text)

    def flush(self) -> None:  # noqa: D102
        pass

    def isatty(self) -> bool:  # noqa: D102
        with suppress(OSError, ValueError):
            return sys.stderr is not None and sys.stderr.isatty()
        return False

    def fileno(self) -> int:  # noqa: D102
        if sys.stderr is None:
            raise OSError("there is no standard error")
        return sys.stderr.fileno()


def _write_nowhere(stream: TextIO) -> None:
    """Send what a stream still holds, and what comes later, nowhere."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())

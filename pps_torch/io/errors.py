"""The error of the file layer: one line that a user can act on."""

from __future__ import annotations


class InputError(ValueError):
    """A file or argument is not as expected.

    The message names the file (and image, segment or key), what was expected and what was found.
    """


def printable(text: object) -> str:
    """A message in one line, whatever characters the names in it have."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )

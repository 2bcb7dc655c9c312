"""Text of others, such as names of classes and files, as a terminal may show it."""

from __future__ import annotations


def printable(text: object) -> str:
    """A text in one line: line breaks, escape sequences and direction marks are written out.

    Example:
        >>> from pps_torch.printing import printable
        >>> print(printable("a\\nb \\x1b[31m \\u202e"))
        a\\nb \\x1b[31m \\u202e
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )

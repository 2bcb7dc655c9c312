"""Names and messages on any terminal: text of others in one line, long lists cut."""

from __future__ import annotations

from collections.abc import Sequence


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


def first_of(items: Sequence[object], most: int) -> str:
    """The first `most` items, and how many more there are.

    Example:
        >>> from pps_torch.printing import first_of
        >>> first_of([7, 11, 12, 24], most=3), first_of([7, 11], most=3)
        ('7, 11, 12 and 1 more', '7, 11')
    """
    rest = len(items) - most
    return ", ".join(map(str, items[:most])) + (f" and {rest} more" if rest > 0 else "")

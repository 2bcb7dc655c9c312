"""The pages at the top and in docs/, and their code blocks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from tests import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_FENCE = re.compile(r"^```(\w*)$")


class Block(NamedTuple):
    """A fenced block: its language, the number of its first line, its text."""

    language: str
    line: int
    text: str


def name_of(page: Path) -> str:
    """For the names of tests."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str = "") -> list[Block]:
    """The blocks of a page, in order; those of one language, if one is named."""
    found = []
    opened, lines = None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is not None:
            if line == "```":
                found.append(Block(*opened, "".join(lines)))
                opened = None
            else:
                lines.append(line + "\n")
        elif fence:
            opened, lines = (fence[1], number + 1), []
    if opened is not None:
        raise ValueError(f"{page}:{opened[1]}: the block does not end")
    return [block for block in found if language in ("", block.language)]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)

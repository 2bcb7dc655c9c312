"""The pages at the top and in docs/, and their code blocks."""

from __future__ import annotations

import doctest
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


def run_section(page: str, heading: str, names: dict[str, object]) -> dict[str, object]:
    """Run the Python blocks of one section, which import what they need.

    Returns:
        all names afterwards.
    """
    path, names = ROOT / page, dict(names)
    headings, is_code = [], False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        is_code ^= line.startswith("```")
        if line.startswith("#") and not is_code:
            headings.append((number, line))
    position = [line.strip("# ") for _, line in headings].index(heading)
    start = headings[position][0]
    end = headings[position + 1][0] if position + 1 < len(headings) else float("inf")
    for block in blocks(path, "python"):
        if start < block.line < end:
            run_python_block(path, block, names)
    return names


def run_python_block(page: Path, block: Block, names: dict[str, object]) -> None:
    """A block with prompts is a doctest, another one is executed as it stands."""
    if ">>> " not in block.text:
        lines = "\n" * (block.line - 1) + block.text  # so that a traceback has the page's lines
        exec(compile(lines, str(page), "exec"), names)
        return
    parser = doctest.DocTestParser()
    test = parser.get_doctest(block.text, names, name_of(page), str(page), block.line - 1)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    report: list[str] = []
    runner.run(test, out=report.append, clear_globs=False)
    assert not runner.failures, "".join(report)
    names.update(test.globs)

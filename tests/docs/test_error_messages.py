"""The messages that docs/troubleshooting.md explains are messages of the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pps_torch
from tests.docs.pages import ROOT, prose

PAGE = ROOT / "docs" / "troubleshooting.md"
MESSAGES = re.findall(r"^### `(.+)`$", prose(PAGE), flags=re.M)
GAP = "…"


def texts_of_the_source() -> list[str]:
    """Every text of the package, with a gap where an f-string has a value."""
    found = []
    for path in sorted(Path(pps_torch.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (v.value if isinstance(v, ast.Constant) else GAP for v in node.values)
                found.append("".join(map(str, parts)))
    return found


def unsaid(messages: list[str], texts: list[str]) -> list[str]:
    """The messages that no text holds; their gaps are the source's gaps."""
    return [m for m in messages if not any(m.strip(GAP).strip() in text for text in texts)]


def test_the_messages_exist():
    texts = texts_of_the_source()
    assert len(MESSAGES) >= 15 and not unsaid(MESSAGES, texts)
    assert unsaid(["…: expected a quiet street, found …"], texts)

"""The messages that docs/troubleshooting.md explains are messages of the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

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


TEXTS = texts_of_the_source()


def is_said(message: str) -> bool:
    """Whether some text of the source holds the message; its gaps are the source's gaps."""
    return any(message.strip(GAP).strip() in text for text in TEXTS)


def test_the_page_explains_messages():
    assert len(MESSAGES) >= 15


@pytest.mark.parametrize("message", MESSAGES)
def test_the_message_exists(message):
    assert is_said(message)


def test_another_message_is_not_found():
    assert not is_said("…: expected a quiet street, found …")

"""Links between the pages, to headings and to files lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pps_torch
from tests import ROOT
from tests.docs.pages import PAGES, name_of, prose

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for link in _LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        path, _, heading = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        assert target.exists(), f"{page}: {link}: no such file"
        assert target.is_relative_to(ROOT), f"{page}: {link}: outside the repository"
        if heading:
            assert heading in anchors(target), f"{page}: {link}: no such heading"


def test_all_pages_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in _LINK.findall(prose(page)):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target in PAGES:
                waiting.append(target)
    assert reached == set(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_in_the_text_exist(page):
    """`pps_torch/...`, `tools/...`, `tests/...` and `configs/...` in backticks are files."""
    named = re.findall(r"`((?:pps_torch|tools|tests|configs|docs)/[\w./-]*)`", prose(page))
    places = {"pps_torch": Path(pps_torch.__file__).parents[1]}
    missing = [p for p in named if not (places.get(p.split("/")[0], ROOT) / p).exists()]
    assert not missing


def anchors(page) -> set[str]:
    """The names by which headings can be linked to, as Git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

"""Lays the site out as the repository is, so that one link leads to the same place on both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from properdocs.structure.files import File, Files, InclusionLevel
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parents[2]

#: The pages that lie outside of docs/; README.md is the home.
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".github/SECURITY.md")


def on_files(files: Files, config: Any) -> Files:
    """Moves what docs/ holds to docs/, and adds the other pages and the style."""
    in_docs = [file for file in files if file.src_dir == config.docs_dir]
    paths = [*PAGES, *(f"docs/{file.src_uri}" for file in in_docs)]
    laid_out = [
        File.generated(
            config, path, abs_src_path=str(ROOT / path), inclusion=InclusionLevel.INCLUDED
        )
        for path in paths
    ]
    rules = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    colors = HtmlFormatter(style="default").get_style_defs(".highlight")
    style = File.generated(config, "style.css", content=f"{rules}\n{colors}")
    return Files([*laid_out, style, *(file for file in files if file not in in_docs)])


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Shows the scripts that a line of its own links to, and colours sessions as such."""
    folder = (ROOT / page.file.src_uri).parent
    markdown = re.sub(
        r"^\[`[\w.]+`\]\(([\w/]+\.py)\)$",
        lambda link: f"{link[0]}\n\n```python\n{(folder / link[1]).read_text(encoding='utf-8')}```",
        markdown,
        flags=re.M,
    )
    return re.sub(r"^```python\n(?=>>> )", "```pycon\n", markdown, flags=re.M)

"""HTML pages from templates: one file each, which needs nothing else. All names are escaped."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pps_torch.io.errors import InputError
from pps_torch.version import __version__

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, scripts: Sequence[str], **values: Any) -> str:
    """Write a page as text.

    Its Content-Security-Policy allows no request, and no script but its own, known by its hash.

    Args:
        template: the name of its template.
        scripts: the names of its scripts, which become one.
        values: what the template shows.

    Raises:
        InputError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise InputError('report needs jinja2: pip install "pps_torch[report]"') from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(percent=_percent, number=_number, gain=_gain)
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in scripts)
    return environment.get_template(template).render(
        **values,
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )


def _percent(fraction: float | None) -> str:
    """A fraction in per cent with one decimal; a dash for None and NaN."""
    return "–" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f}"


def _gain(fraction: float) -> str:
    """A difference of fractions, in per cent with its sign; a dash for NaN."""
    if math.isnan(fraction):
        return "–"
    text = f"{100 * fraction:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "\u2212")


def _number(value: float) -> str:
    """A number with thin spaces between its thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")

"""The HTML page, made from numbers and pictures. All names in it are escaped."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pps_torch.io.errors import InputError
from pps_torch.metrics import SegmentRecord
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.html_report import summary
from pps_torch.pipelines.html_report.pictures import Pictures
from pps_torch.version import __version__
from pps_torch.visualization import PixelError, error_legend_entries

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("script.js", "gallery.js")

_MOST_WITHOUT_SEARCH = 30  # classes
#: The outcomes of segments that the gallery shows, those that cost most first.
SHOWN_VERDICTS = ("fn", "fp", "tp")
_VERDICTS = {
    "tp": "matched",
    "fn": "missed",
    "fp": "false positive",
    "crowd": "crowd",
    "ignored": "ignored",
}


class PageImage(NamedTuple):
    """An image that the page shows."""

    image_id: str
    pictures: Pictures


def render_page(tables: Tables, images: Sequence[PageImage], palette: str) -> str:
    """Write the page as text.

    Its Content-Security-Policy allows no request, and no script but its own, known by its hash.

    Args:
        tables: the evaluation.
        images: the images that are shown; the page puts the worst first.
        palette: the palette of the pictures.

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
    images = _worst_first(tables, images)
    environment.filters.update(percent=_percent, number=_number)
    script = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return environment.get_template("page.html").render(
        tables=tables,
        title=_title(tables),
        groups=summary.group_rows(tables),
        classes=summary.class_rows(tables),
        most_without_search=_MOST_WITHOUT_SEARCH,
        qualities=[name for metric in tables.metrics for name in summary.quality_names(metric)],
        parts=summary.part_rows(tables),
        confusions={
            "pixels": summary.pixel_confusion(tables),
            "segments": summary.segment_confusion(tables),
        },
        colors=summary.css_colors(tables.classes, palette),
        images=[_gallery_entry(tables, image) for image in images],
        verdicts=_VERDICTS,
        shown_verdicts=SHOWN_VERDICTS,
        errors=_error_colors(tables),
        data=_script_data(tables, images),
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )


def _title(tables: Tables) -> str:
    """The name of the spec, or of the ground truth's file."""
    return tables.name if tables.part_aware else Path(tables.inputs["gt_json_file"]).stem


def _error_colors(tables: Tables) -> list[tuple[str, str]]:
    """Name and colour of each kind of pixel in the error maps."""
    kinds = [kind for kind in PixelError if tables.part_aware or kind != PixelError.WRONG_PART]
    entries = error_legend_entries(torch.tensor(kinds, dtype=torch.uint8))
    return [(entry.name, "#{:02x}{:02x}{:02x}".format(*entry.color)) for entry in entries]


def _worst_first(tables: Tables, images: Sequence[PageImage]) -> list[PageImage]:
    """The images in the order of `images_by_quality`."""
    place = {image_id: number for number, image_id in enumerate(summary.images_by_quality(tables))}
    return sorted(images, key=lambda image: place[image.image_id])


def _gallery_entry(tables: Tables, image: PageImage) -> dict[str, Any]:
    """What the gallery shows of an image."""
    segments = tables.images[image.image_id]
    return {
        "id": image.image_id,
        "pictures": image.pictures,
        "quality": tables.image_quality(image.image_id)[0],
        "counts": {
            verdict: sum(s.verdict == verdict and (s.is_gt or verdict == "fp") for s in segments)
            for verdict in SHOWN_VERDICTS
        },
    }


def _script_data(tables: Tables, images: Sequence[PageImage]) -> dict[str, Any]:
    """The data of the script; a segment is a list of values, their names are listed once."""
    totals = {
        row.info.id: {verdict: getattr(row, verdict) for verdict in SHOWN_VERDICTS}
        for row in summary.class_rows(tables)
    }
    return {
        "partAware": tables.part_aware,
        "classes": {
            info.id: {
                "name": info.name,
                "isThing": info.is_thing,
                "parts": info.parts,
                "totals": totals.get(info.id, dict.fromkeys(SHOWN_VERDICTS, 0)),
            }
            for info in tables.classes
        },
        "verdicts": _VERDICTS,
        "shownVerdicts": SHOWN_VERDICTS,
        "segmentFields": SegmentRecord._fields,
        "images": [
            {
                "width": image.pictures.width,
                "height": image.pictures.height,
                "maps": image.pictures.maps,
                "segments": [_rounded(segment) for segment in tables.images[image.image_id]],
            }
            for image in images
        ],
    }


def _rounded(segment: SegmentRecord) -> list[Any]:
    """The values of a segment, its fractions rounded to what the page shows."""
    part_ious = {pid: round(iou, 4) for pid, iou in segment.part_ious.items()}
    return [
        round(value, 4) if isinstance(value, float) else value
        for value in segment._replace(part_ious=part_ious)
    ]


def _percent(fraction: float | None) -> str:
    """A fraction in per cent with one decimal; a dash for None and NaN."""
    return "–" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f}"


def _number(value: float) -> str:
    """A number with thin spaces between its thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")

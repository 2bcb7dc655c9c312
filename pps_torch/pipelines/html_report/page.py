"""The page about one evaluation, made from numbers and pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pps_torch.metrics import SegmentRecord
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.html_report import summary
from pps_torch.pipelines.html_report.pictures import Pictures
from pps_torch.pipelines.html_report.rendering import render
from pps_torch.visualization import PixelError, error_legend_entries

SCRIPTS = ("tables.js", "script.js", "gallery.js")

MOST_WITHOUT_SEARCH = 30  # classes
#: The outcomes of segments that the gallery shows, those that cost most first.
SHOWN_VERDICTS = ("fn", "fp", "tp")
VERDICTS = {
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


def render_page(
    tables: Tables, images: Sequence[PageImage], palette: str, title: str | None = None
) -> str:
    """Write the page as text.

    Args:
        tables: the evaluation.
        images: the images that are shown; the page puts the worst first.
        palette: the palette of the pictures.
        title: its heading; by default the name of the spec, or of the ground truth's file.

    Raises:
        InputError: jinja2 is not installed.
    """
    images = _worst_first(tables, images)
    return render(
        "page.html",
        SCRIPTS,
        tables=tables,
        title=title or title_of(tables),
        groups=summary.group_rows(tables),
        classes=summary.class_rows(tables),
        most_without_search=MOST_WITHOUT_SEARCH,
        qualities=[name for metric in tables.metrics for name in summary.quality_names(metric)],
        parts=summary.part_rows(tables),
        confusions={
            "pixels": summary.pixel_confusion(tables),
            "segments": summary.segment_confusion(tables),
        },
        colors=summary.css_colors(tables.classes, palette),
        images=[_gallery_entry(tables, image) for image in images],
        verdicts=VERDICTS,
        shown_verdicts=SHOWN_VERDICTS,
        errors=_error_colors(tables),
        data=_script_data(tables, images),
    )


def title_of(tables: Tables) -> str:
    """The name of the spec, or of the ground truth's file."""
    return tables.name if tables.part_aware else Path(tables.inputs["gt_json_file"]).stem


def _error_colors(tables: Tables) -> list[tuple[str, str]]:
    """Name and colour of each kind of pixel in the error maps."""
    kinds = [kind for kind in PixelError if tables.part_aware or kind != PixelError.WRONG_PART]
    entries = error_legend_entries(torch.tensor(kinds, dtype=torch.uint8, device="cpu"))
    return [(entry.name, "#{:02x}{:02x}{:02x}".format(*entry.color)) for entry in entries]


def _worst_first(tables: Tables, images: Sequence[PageImage]) -> list[PageImage]:
    """The images in the order of `images_by_quality`."""
    place = {image_id: number for number, image_id in enumerate(summary.images_by_quality(tables))}
    return sorted(images, key=lambda image: place[image.image_id])


def _gallery_entry(tables: Tables, image: PageImage) -> dict[str, Any]:
    """What the gallery shows of an image."""
    segments = tables.images[image.image_id]
    counts = Counter(s.verdict for s in segments if s.is_gt or s.verdict == "fp")
    return {
        "id": image.image_id,
        "pictures": image.pictures,
        "quality": tables.image_qualities[image.image_id][0],
        "counts": {verdict: counts[verdict] for verdict in SHOWN_VERDICTS},
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
        "verdicts": VERDICTS,
        "shownVerdicts": SHOWN_VERDICTS,
        "segmentFields": SegmentRecord._fields,
        "images": [
            {
                "width": image.pictures.width,
                "height": image.pictures.height,
                "segmentBytes": image.pictures.segment_bytes,
                "maps": image.pictures.maps,
                "segments": [*map(_rounded, tables.images[image.image_id])],
            }
            for image in images
        ],
    }


def _rounded(segment: SegmentRecord) -> tuple[Any, ...]:
    """The values of a segment, its fractions rounded to what the page shows."""
    *values, iou, part_iou, part_ious, taken_for, taken_share = segment
    return (
        *values,
        iou if iou is None else round(iou, 4),
        part_iou if part_iou is None else round(part_iou, 4),
        {pid: round(value, 4) for pid, value in part_ious.items()},
        taken_for,
        round(taken_share, 4),
    )

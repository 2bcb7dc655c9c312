"""The page about what changed from one evaluation to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pps_torch.metrics import SegmentRecord
from pps_torch.pipelines.html_report import summary
from pps_torch.pipelines.html_report.comparison import Comparison, ImageChange
from pps_torch.pipelines.html_report.page import MOST_WITHOUT_SEARCH, VERDICTS, title_of
from pps_torch.pipelines.html_report.pictures import ChangePictures
from pps_torch.pipelines.html_report.rendering import render

#: Rows of a table; of a large data set the page would grow to no end.
MOST_ROWS = 500

#: What became of a segment of the ground truth -> its name and colour in the pictures.
OUTCOMES = {
    "found": ("found now", (0, 158, 115)),
    "lost": ("lost now", (213, 94, 0)),
    "other": ("changed otherwise", (230, 159, 0)),
    "matched": ("matched in both", (205, 210, 216)),
    "missed": ("missed in both", (120, 126, 134)),
    "crowd": ("not evaluated", (240, 241, 243)),
}


class ChangedImage(NamedTuple):
    """An image that the page shows with pictures."""

    image_id: str
    pictures: ChangePictures


def render_comparison(
    comparison: Comparison,
    changes: Sequence[ImageChange],
    images: Sequence[ChangedImage],
    palette: str,
    title: str | None = None,
) -> str:
    """Write the page as text.

    Args:
        comparison: of the two evaluations.
        changes: its `images()`.
        images: those that are shown with pictures.
        palette: the palette of the pictures.
        title: its heading; by default that of a page about one of the two.

    Raises:
        InputError: jinja2 is not installed.
    """
    after = comparison.after
    segments = [segment for image in changes for segment in image.segments]
    by_id = {change.image_id: change for change in changes}
    return render(
        "comparison.html",
        ("tables.js",),
        title=title or title_of(after),
        metric=after.metric,
        qualities=summary.quality_names(after.metric),
        num_images=len(after.images),
        groups=comparison.groups(),
        classes=comparison.classes(),
        changes=changes,
        segments=sorted(segments, key=lambda segment: -segment.before.area),
        num_found=sum(segment.is_found for segment in segments),
        num_lost=sum(segment.is_lost for segment in segments),
        images=[(by_id[image.image_id], image.pictures) for image in images],
        most_rows=MOST_ROWS,
        most_without_search=MOST_WITHOUT_SEARCH,
        verdicts=VERDICTS,
        names={info.id: info.name for info in after.classes} | {None: "void"},
        colors=summary.css_colors(after.classes, palette),
        outcomes=[(name, "rgb({}, {}, {})".format(*rgb)) for name, rgb in OUTCOMES.values()],
    )


def outcome(before: SegmentRecord, after: SegmentRecord) -> str:
    """What became of a segment of the ground truth, a key of `OUTCOMES`."""
    if before.verdict == after.verdict:
        return {"tp": "matched", "fn": "missed"}.get(after.verdict, "crowd")
    if after.verdict == "tp":
        return "found"
    return "lost" if before.verdict == "tp" else "other"


def outcome_colors(
    before: Sequence[SegmentRecord], after: Sequence[SegmentRecord]
) -> dict[int, tuple[int, int, int]]:
    """The colour of each segment of the ground truth of an image, by its index."""
    pairs = ((one, other) for one, other in zip(before, after) if one.is_gt)
    return {one.index: OUTCOMES[outcome(one, other)][1] for one, other in pairs}

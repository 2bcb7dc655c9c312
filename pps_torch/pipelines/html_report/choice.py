"""Which images a report shows: each class that lost something has some, and the worst are there."""

from __future__ import annotations

from collections import defaultdict

from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.pipelines.html_report.summary import images_by_quality

#: How many images are shown unless a number is given; more where classes need them.
USUAL_NUMBER = 24


def choose_images(tables: Tables, most: int | None = None) -> list[str]:
    """Choose the images to show, the most telling first, so that a shorter list is a good one too.

    The first ones together have a missed or falsely predicted segment of every class that has
    any: each adds the most such classes, and among equals it loses the most pixels of them. Then
    come the images of the lowest quality.

    Args:
        tables: the evaluation.
        most: how many images at most; by default `USUAL_NUMBER`, or as many as all classes need.

    Example:
        >>> choose_images(Tables("PQ", "pq", {}, [], {}, None, {"a": [], "b": []}, {}))
        ['a', 'b']
    """
    by_quality = images_by_quality(tables)
    cover = _covering_images(_lost_pixels(tables, by_quality))
    if most is None:
        most = max(USUAL_NUMBER, len(cover))
    return list(dict.fromkeys([*cover, *by_quality]))[:most]


def _lost_pixels(tables: Tables, image_ids: list[str]) -> dict[str, dict[int, int]]:
    """By image, the pixels of missed and false segments of each class that has any there."""
    lost: dict[str, dict[int, int]] = {}
    for image_id in image_ids:
        pixels: dict[int, int] = defaultdict(int)
        for segment in tables.images[image_id]:
            if segment.verdict in ("fn", "fp"):
                pixels[segment.class_id] += segment.area
        lost[image_id] = dict(pixels)
    return lost


def _covering_images(lost: dict[str, dict[int, int]]) -> list[str]:
    """Few images that together have all classes; the first of equals."""
    left = {class_id for classes in lost.values() for class_id in classes}
    cover = []
    while left:
        gains = {
            image_id: (len(new), sum(classes[class_id] for class_id in new))
            for image_id, classes in lost.items()
            if (new := left & classes.keys())
        }
        best = max(gains, key=lambda image_id: gains[image_id])
        cover.append(best)
        left -= lost[best].keys()
    return cover

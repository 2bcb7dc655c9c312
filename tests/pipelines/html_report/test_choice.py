"""Which images a report shows: each class that lost something has some, the worst are there."""

from __future__ import annotations

import numpy as np
import pytest

from pps_torch.metrics import SegmentRecord
from pps_torch.pipelines.evaluation_tables import ClassInfo, Tables
from pps_torch.pipelines.html_report.choice import USUAL_NUMBER, choose_images

CLASSES = [ClassInfo(i, f"c{i}", True, None, {}) for i in range(60)]


def segment(class_id: int, verdict: str, area: int = 10) -> SegmentRecord:
    iou = 0.9 if verdict == "tp" else None
    match = 1 if verdict == "tp" else None
    is_gt = verdict != "fp"
    return SegmentRecord(is_gt, 1, class_id, None, area, verdict, match, iou, None, {}, None, 0.0)


def tables(images: dict[str, list[SegmentRecord]]) -> Tables:
    return Tables("PQ", "pq", {}, CLASSES, {}, np.zeros((60, 61), np.int64), images, {})


def test_each_class_that_lost_something_has_an_image():
    bad = {f"bad{i}": [segment(0, "fn")] for i in range(USUAL_NUMBER)}
    good = [*(segment(0, "tp") for _ in range(9)), segment(1, "fp"), segment(2, "fn")]
    chosen = choose_images(tables({**bad, "best": [segment(3, "tp")], "good": good}))
    assert chosen[:2] == ["good", "bad0"] and len(chosen) == USUAL_NUMBER
    assert "best" not in chosen


def test_the_one_with_the_most_lost_classes_then_pixels_comes_first():
    images = {
        "small": [segment(1, "fn", 5), segment(2, "fp", 5)],
        "large": [segment(1, "fn", 50), segment(2, "fp", 5)],
        "third": [segment(3, "fn", 900)],
        "perfect": [segment(4, "tp")],
    }
    assert choose_images(tables(images)) == ["large", "third", "small", "perfect"]
    assert choose_images(tables(images), 1) == ["large"]
    assert choose_images(tables(images), 0) == []


@pytest.mark.parametrize(("most", "expected"), [(None, 60), (24, 24)])
def test_more_images_than_usual_where_the_classes_need_them(most, expected):
    images = {f"{i}": [segment(i, "fn")] for i in range(60)}
    assert len(choose_images(tables(images), most)) == expected

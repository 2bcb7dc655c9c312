"""Scenes drawn with letters: a legend says what each letter is, '.' is void."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pps_torch import PanopticSegmentation, PanopticTarget

VOID = "."

#: What the scenes of panoptic quality are drawn with.
THING, OTHER_THING, STUFF = 1, 2, 3
CATEGORIES = [
    {"id": THING, "name": "thing", "isthing": 1},
    {"id": OTHER_THING, "name": "other thing", "isthing": 1},
    {"id": STUFF, "name": "stuff", "isthing": 0},
]
LEGEND = {"t": THING, "u": THING, "v": THING, "o": OTHER_THING, "s": STUFF, "z": STUFF}


def draw(*rows: str) -> np.ndarray:
    """(H, W) code points; a single row is repeated to a square."""
    rows = rows * len(rows[0]) if len(rows) == 1 else rows
    return np.array([[ord(letter) for letter in row] for row in rows])


def segments(drawing: np.ndarray, legend: dict[str, int], crowds: str = "") -> list[dict]:
    """The letters of the legend that occur, in its order, as segments_info."""
    return [
        {"id": ord(letter), "category_id": category, "iscrowd": int(letter in crowds)}
        for letter, category in legend.items()
        if ord(letter) in drawing
    ]


def prediction(legend: dict[str, int], *rows: str) -> PanopticSegmentation:
    drawing = draw(*rows)
    info = segments(drawing, legend)
    return PanopticSegmentation.from_segments(torch.from_numpy(drawing), info, void_id=ord(VOID))


def target(legend: dict[str, int], *rows: str, crowds: str = "") -> PanopticTarget:
    drawing = draw(*rows)
    info = segments(drawing, legend, crowds)
    return PanopticTarget.from_segments(torch.from_numpy(drawing), info, void_id=ord(VOID))


def uids(legend: dict[str, int], *rows: str) -> torch.Tensor:
    """Ground truth uids; void letters are uid 0."""
    drawing = draw(*rows)
    lookup = {ord(letter): uid for letter, uid in {VOID: 0, **legend}.items()}
    return torch.tensor([[lookup[value] for value in row] for row in drawing.tolist()])


def pps(legend: dict[str, tuple[int, int, int]], *rows: str) -> torch.Tensor:
    """(3, H, W): each letter is (scene class, instance, part); void letters are 255, 0, 0."""
    drawing = draw(*rows)
    lookup = {ord(letter): value for letter, value in {VOID: (255, 0, 0), **legend}.items()}
    pixels = [[lookup[value] for value in row] for row in drawing.tolist()]
    return torch.tensor(pixels).permute(2, 0, 1)


def expect(result, **expected):
    """thing=(iou, tp, fp, fn) for each class; a class that is not named has nothing."""
    for name, category in (("thing", THING), ("other", OTHER_THING), ("stuff", STUFF)):
        iou, *counts = expected.get(name, (0, 0, 0, 0))
        found = result.per_class[category]
        assert [found["tp"], found["fp"], found["fn"]] == counts, name
        assert found["iou"] == pytest.approx(float(iou), abs=1e-12), name

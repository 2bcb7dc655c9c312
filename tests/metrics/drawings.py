"""Scenes drawn with letters: a legend says what each letter is, '.' is void."""

from __future__ import annotations

import numpy as np
import torch

from pps_torch import PanopticSegmentation, PanopticTarget

VOID = "."


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

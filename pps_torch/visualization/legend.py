"""Legends: what is in a picture, and which colour it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pps_torch.checks import check_picture, check_shape, check_size
from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.formats.categories import Categories
from pps_torch.reserved import ABSENT
from pps_torch.specs import EvalSpec
from pps_torch.visualization.categories import category_name, colored_categories
from pps_torch.visualization.colorize import paint_map, segment_category_index
from pps_torch.visualization.colors import VOID_COLOR, category_colors, spec_paints
from pps_torch.visualization.oklab import Color
from pps_torch.visualization.text import Font

BACKGROUND = (255, 255, 255)
FRAME_COLOR = (150, 150, 150)


class LegendEntry(NamedTuple):
    """One class of the picture, with those of its parts that are in the picture."""

    name: str
    color: Color
    parts: tuple[LegendEntry, ...] = ()


#: For legends of pictures in which void is black: it is listed by no other function.
VOID_ENTRY = LegendEntry("void", VOID_COLOR)


def pps_legend_entries(pps: Tensor, spec: EvalSpec, *, palette: str = "class") -> list[LegendEntry]:
    """List the classes and parts in a PPS map `(*B, 3, H, W)`, in the order of the spec."""
    paint = paint_map(pps, spec)
    paints = spec_paints(spec, pps.device, palette)
    counts = torch.bincount(paint.flatten(), minlength=len(paints.members) + 1)
    members = zip(paints.members, paints.colors[1:, 0].tolist(), counts[1:].tolist(), strict=True)
    entries = []
    for sid, rows in groupby(members, key=lambda member: member[0][0]):
        (_, color, num_pixels), *part_rows = rows  # a class stands before its parts
        parts = tuple(
            LegendEntry(part_name(spec, sid, pid), tuple(part_color))
            for (_, pid), part_color, num_part_pixels in part_rows
            if num_part_pixels
        )
        if num_pixels or parts:
            entries.append(LegendEntry(spec.scene_labels[sid], tuple(color), parts))
    return entries


def panoptic_legend_entries(
    panoptic: PanopticSegmentation | PanopticTarget,
    categories: Categories,
    *,
    palette: str = "class",
) -> list[LegendEntry]:
    """List the categories of the segments, in the order of `categories`.

    Args:
        panoptic: its `panoptic_seg` `(*B, H, W)` and `category_ids` `(*B, S)` are read.
        categories: COCO category dicts with `id`, `name`, `isthing` and perhaps `color`; or an
            `EvalSpec`.
        palette: as in `colorize_panoptic`.

    Raises:
        TypeError, ValueError: as `colorize_panoptic`; for a category without a name.
    """
    categories = colored_categories(categories)
    places = segment_category_index(panoptic, categories)
    colors = category_colors(categories, palette)
    return [
        LegendEntry(category_name(categories, place), colors[place])
        for place in places[places != ABSENT].unique().tolist()
    ]


def legend(entries: list[LegendEntry], picture_size: tuple[int, int]) -> Tensor:
    """Draw a legend that fits beside a picture.

    Entries fill columns from top to bottom, and the text grows with the picture. Columns are as
    high as the picture; they are higher where the legend would otherwise be wider than twice the
    picture's longer side. Names of more than some 75 letters are cut, and end in an ellipsis.

    Args:
        entries: from `pps_legend_entries` or `panoptic_legend_entries`.
        picture_size: (height, width) of the picture.

    Returns:
        `(3, h, w)` uint8, RGB, on the CPU; h is the picture's height or more.

    Raises:
        TypeError, ValueError: for entries that are no `LegendEntry`, or another size.
    """
    if not isinstance(entries, Sequence):
        raise TypeError(f"entries: expected a list of LegendEntry, found {type(entries).__name__}")
    for place, entry in enumerate(entries):
        if not isinstance(entry, LegendEntry):
            raise TypeError(
                f"entries[{place}]: expected a LegendEntry, found {type(entry).__name__}"
            )
    check_size("picture_size", picture_size)
    layout = _Layout(picture_size)
    return torch.from_numpy(layout.draw(layout.columns(entries)))


def with_legend(picture: Tensor, legend: Tensor) -> Tensor:
    """Put a legend to the right of its picture; the lower of the two gets a white margin.

    Args:
        picture: `(3, H, W)` uint8.
        legend: `(3, h, w)` uint8.

    Returns:
        `(3, max(H, h), W + w)` uint8.

    Raises:
        TypeError, ValueError: for pictures of another dtype or shape.
    """
    for name, image in (("picture", picture), ("legend", legend)):
        check_picture(name, image)
        check_shape(name, image, (3, *image.shape[-2:]))
    height = max(picture.shape[-2], legend.shape[-2])
    pages = [picture, legend.to(picture.device)]
    return torch.cat([_pad(page, height) for page in pages], dim=-1)


class _Line(NamedTuple):
    name: str
    color: Color
    is_part: bool


class _Layout:
    """Sizes, in pixels, that follow from the size of the picture."""

    def __init__(self, picture_size: tuple[int, int]) -> None:
        height, width = picture_size
        text_size = max(12, round(min(height, width / 2) / 40))
        self.height = height
        self.most_width = 2 * max(picture_size)
        self.most_name_width = 36 * text_size
        self.line = round(1.5 * text_size)
        self.margin = text_size
        self.swatch = text_size
        self.gap = text_size // 2
        self.font = Font(text_size, self.line)

    def columns(self, entries: list[LegendEntry]) -> list[list[_Line]]:
        """Arrange the lines of the entries in columns."""
        classes = [self.lines(entry) for entry in entries]
        columns = _fill_columns(classes, (self.height - self.line) // self.line)
        widths = [self.column_width(column) for column in columns]
        if self.margin + sum(widths) <= self.most_width:
            return columns
        num_columns = max(1, (self.most_width - self.margin) // max(widths))
        return _fill_columns(classes, math.ceil(sum(map(len, classes)) / num_columns))

    def lines(self, entry: LegendEntry) -> list[_Line]:
        """The lines of a class and its parts."""
        parts = [_Line(self.short(part.name), part.color, is_part=True) for part in entry.parts]
        return [_Line(self.short(entry.name), entry.color, is_part=False), *parts]

    def short(self, name: str) -> str:
        """The name in one line, cut if it is long."""
        return self.font.cut(" ".join(name.split()), self.most_name_width)

    def column_width(self, column: list[_Line]) -> int:
        """The width of a column with the margin to its right."""
        ends = (self.text_left(line) + self.font.width(line.name) for line in column)
        return max(ends, default=0) + self.margin

    def text_left(self, line: _Line) -> int:
        """Where the text of a line begins in its column."""
        return (self.swatch if line.is_part else 0) + self.swatch + self.gap

    def draw(self, columns: list[list[_Line]]) -> NDArray[np.uint8]:
        """Draw the columns on a white page `(3, h, w)` uint8."""
        widths = [self.column_width(column) for column in columns]
        height = max(self.height, self.line * (max(map(len, columns)) + 1))
        page = np.full((3, height, self.margin + sum(widths)), 255, np.uint8)
        lefts = accumulate(widths, initial=self.margin)
        for left, column in zip(lefts, columns):
            for row, line in enumerate(column):
                self.draw_line(page, left + self.text_left(line), row, line)
        return page

    def draw_line(self, page: NDArray[np.uint8], left: int, row: int, line: _Line) -> None:
        """Draw a name that begins at `left`, and its swatch before it."""
        top = self.line // 2 + row * self.line
        half = self.swatch // 2
        middle, swatch_left = top + self.line // 2, left - self.gap - self.swatch
        swatch = page[
            :, middle - half : middle + half + 1, swatch_left : swatch_left + 2 * half + 1
        ]
        swatch[:] = np.array(FRAME_COLOR)[:, None, None]
        swatch[:, 1:-1, 1:-1] = np.array(line.color)[:, None, None]
        self.font.draw(page, left, top, line.name)


def _fill_columns(classes: list[list[_Line]], num_lines: int) -> list[list[_Line]]:
    """Fill columns of at most `num_lines`, or one; a class keeps its parts if it can."""
    num_lines = max(num_lines, 1)
    columns: list[list[_Line]] = [[]]
    for lines in classes:
        if columns[-1] and len(columns[-1]) + len(lines) > num_lines:
            columns.append([])
        while len(lines) > num_lines:
            columns[-1], lines = lines[:num_lines], lines[num_lines:]
            columns.append([])
        columns[-1] += lines
    return columns


def _pad(page: Tensor, height: int) -> Tensor:
    """Put a page at the top of a white one of another height."""
    padded = page.new_tensor(BACKGROUND).view(3, 1, 1).repeat(1, height, page.shape[-1])
    padded[:, : page.shape[-2]] = page
    return padded


def part_name(spec: EvalSpec, sid: int, pid: int) -> str:
    """The label of a part without its class: "license plate" of "car-license_plate"."""
    label = spec.part_labels.get(spec.eval_sid_pid_to_flat[sid, pid], f"part {pid}")
    return label.removeprefix(f"{spec.scene_labels[sid]}-").replace("_", " ")

"""Legends: what is in a picture, and which colour it has."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pps_torch.formats import PanopticSegmentation, PanopticTarget
from pps_torch.reserved import ABSENT, UNDEFINED_PART
from pps_torch.specs import EvalSpec
from pps_torch.visualization.colorize import paint_map, segment_category_index
from pps_torch.visualization.colors import VOID_COLOR, category_colors, spec_paints

BACKGROUND = (255, 255, 255)
TEXT_COLOR = (32, 32, 32)
FRAME_COLOR = (150, 150, 150)


class LegendEntry(NamedTuple):
    """One class of the picture, with those of its parts that are in the picture."""

    name: str
    color: tuple[int, int, int]
    parts: tuple[LegendEntry, ...] = ()


#: For legends of pictures in which void is black: it is listed by no other function.
VOID_ENTRY = LegendEntry("void", VOID_COLOR)


def pps_legend_entries(pps: Tensor, spec: EvalSpec, *, palette: str = "class") -> list[LegendEntry]:
    """Lists the classes and parts in a PPS map `(*B, 3, H, W)`, in the order of the spec."""
    paints = spec_paints(spec, pps.device, palette)
    counts = torch.bincount(paint_map(pps, spec).flatten(), minlength=len(paints.members) + 1)
    members = [
        (sid, pid, tuple(color), count)
        for (sid, pid), color, count in zip(
            paints.members, paints.colors[1:, 0].tolist(), counts[1:].tolist(), strict=True
        )
    ]
    class_colors = {sid: color for sid, pid, color, _ in members if pid == UNDEFINED_PART}
    present = [(sid, pid, color) for sid, pid, color, count in members if count]
    return [
        LegendEntry(
            spec.scene_labels[sid],
            class_colors[sid],
            tuple(
                LegendEntry(part_name(spec, sid, pid), color)
                for part_sid, pid, color in present
                if part_sid == sid and pid != UNDEFINED_PART
            ),
        )
        for sid in dict.fromkeys(sid for sid, _, _ in present)
    ]


def panoptic_legend_entries(
    panoptic: PanopticSegmentation | PanopticTarget,
    categories: list[dict[str, Any]],
    *,
    palette: str = "class",
) -> list[LegendEntry]:
    """Lists the categories of the segments, in the order of `categories`."""
    is_used = panoptic.category_ids != ABSENT
    present = segment_category_index(panoptic, categories)[is_used].unique().tolist()
    colors = category_colors(categories, palette)
    return [LegendEntry(categories[index]["name"], colors[index]) for index in present]


def legend(entries: list[LegendEntry], picture_size: tuple[int, int]) -> Tensor:
    """Draws a legend that fits beside a picture.

    Entries fill columns from top to bottom; the text grows with the picture, names are never
    cut. A legend that needs more room than the picture has is larger than the picture.

    Args:
        entries: from `pps_legend_entries` or `panoptic_legend_entries`.
        picture_size: (height, width) of the picture.

    Returns:
        `(3, h, w)` uint8, RGB, on the CPU; h is the picture's height or more.
    """
    from PIL import Image, ImageDraw

    height, width = picture_size
    layout = _Layout(text_size=max(12, round(min(height, width / 2) / 40)))
    columns = layout.columns(entries, (height - layout.line) // layout.line)
    width, needed_height = layout.size(columns)
    height = max(height, needed_height)

    image = Image.new("RGB", (width, height), BACKGROUND)
    layout.draw(ImageDraw.Draw(image), columns)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(height, width, 3).permute(2, 0, 1).contiguous()


def with_legend(picture: Tensor, legend: Tensor) -> Tensor:
    """Puts a legend to the right of its picture; the lower of the two gets a white margin.

    Args:
        picture: `(3, H, W)` uint8.
        legend: `(3, h, w)` uint8.

    Returns:
        `(3, max(H, h), W + w)` uint8.
    """
    height = max(picture.shape[-2], legend.shape[-2])
    pages = [picture, legend.to(picture.device)]
    return torch.cat([_pad(page, height) for page in pages], dim=-1)


class _Line(NamedTuple):
    name: str
    color: tuple[int, int, int]
    is_part: bool


class _Layout:
    """Sizes, in pixels, that follow from the size of the text."""

    def __init__(self, text_size: int) -> None:
        from PIL import ImageFont

        self.font = ImageFont.load_default(size=text_size)
        self.line = round(1.5 * text_size)
        self.margin = text_size
        self.swatch = text_size
        self.gap = text_size // 2

    def columns(self, entries: list[LegendEntry], num_lines: int) -> list[list[_Line]]:
        """Fills columns of at most `num_lines`, or one; a class keeps its parts if it can."""
        num_lines = max(num_lines, 1)
        columns: list[list[_Line]] = [[]]
        for entry in entries:
            lines = [_Line(entry.name, entry.color, is_part=False)]
            lines += [_Line(part.name, part.color, is_part=True) for part in entry.parts]
            if columns[-1] and len(columns[-1]) + len(lines) > num_lines:
                columns.append([])
            while len(lines) > num_lines:
                columns[-1], lines = lines[:num_lines], lines[num_lines:]
                columns.append([])
            columns[-1] += lines
        return columns

    def size(self, columns: list[list[_Line]]) -> tuple[int, int]:
        """The width and height of the columns with their margins."""
        width = self.margin + sum(self.column_width(column) for column in columns)
        return width, self.line * max(map(len, columns)) + self.line

    def column_width(self, column: list[_Line]) -> int:
        ends = [self.text_left(line) + self.font.getlength(line.name) for line in column]
        return round(max(ends, default=0)) + self.margin

    def text_left(self, line: _Line) -> int:
        return (self.swatch if line.is_part else 0) + self.swatch + self.gap

    def draw(self, draw: Any, columns: list[list[_Line]]) -> None:
        left = self.margin
        for column in columns:
            for row, line in enumerate(column):
                middle = self.line // 2 + row * self.line + self.line // 2
                text_left = left + self.text_left(line)
                swatch_left, half = text_left - self.gap - self.swatch, self.swatch // 2
                box = [swatch_left, middle - half, swatch_left + 2 * half, middle + half]
                draw.rectangle(box, fill=line.color, outline=FRAME_COLOR)
                draw.text((text_left, middle), line.name, TEXT_COLOR, self.font, anchor="lm")
            left += self.column_width(column)


def _pad(page: Tensor, height: int) -> Tensor:
    """Puts a page at the top of a white one of another height."""
    padded = page.new_tensor(BACKGROUND).view(3, 1, 1).repeat(1, height, page.shape[-1])
    padded[:, : page.shape[-2]] = page
    return padded


def part_name(spec: EvalSpec, sid: int, pid: int) -> str:
    """The label of a part without its class: "license plate" of "car-license_plate"."""
    label = spec.part_labels.get(spec.eval_sid_pid_to_flat[sid, pid], f"part {pid}")
    return label.removeprefix(f"{spec.scene_labels[sid]}-").replace("_", " ")

"""Draws concepts.png from one street of the demo: `python docs/draw_concepts.py`."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pps_torch import EvalSpec, decode_uids
from pps_torch.synthetic import make_street
from pps_torch.visualization import colorize_pps, ground_truth_pps

SIZE = (512, 1024)
PERSON = 24
ZOOM = (slice(222, 350), slice(500, 564))  # person 1 of street 0
PANEL = (640, 320)  # width, height
CAPTION = 30
GAP = 6


def main() -> None:
    """Draws the picture beside this file."""
    picture = draw_concepts().quantize(256, Image.Quantize.FASTOCTREE)
    picture.save(Path(__file__).with_name("concepts.png"), optimize=True)


def draw_concepts() -> Image.Image:
    """Photo, segments, parts, and one person with its uids."""
    spec = EvalSpec.load("cpp_default")
    street = make_street(SIZE, seed=0)
    pps = ground_truth_pps(street.uids, spec)
    without_parts = torch.stack([pps[0], pps[1], torch.full_like(pps[2], spec.ignore_label)])
    segments = hatch(colorize_pps(without_parts, spec), street.uids == PERSON)
    parts = to_image(colorize_pps(pps, spec))
    panels = {
        "photo": to_image(street.photo),
        "segments: a class; things also have an instance": label_segments(segments, street.uids),
        "parts of people and vehicles": parts,
        "uids: class | instance | part": label_person(parts, street.uids),
    }
    width, height = PANEL
    size = (2 * width + GAP, 2 * (height + CAPTION) + GAP)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for place, (caption, panel) in enumerate(panels.items()):
        left = place % 2 * (width + GAP)
        top = place // 2 * (height + CAPTION + GAP)
        draw.text((left + 4, top + 4), caption, font=ImageFont.load_default(19), fill="black")
        picture.paste(panel.resize(PANEL, Image.Resampling.LANCZOS), (left, top + CAPTION))
    return picture


def to_image(rgb: Tensor) -> Image.Image:
    """`(3, H, W)` uint8 -> a picture."""
    return Image.fromarray(rgb.permute(1, 2, 0).contiguous().numpy())


def hatch(rgb: Tensor, region: Tensor) -> Image.Image:
    """Draws white diagonal lines over a region `(H, W)` bool."""
    height, width = region.shape
    lines = (torch.arange(height)[:, None] + torch.arange(width)) % 8 < 3
    return to_image(torch.where(region & lines, 255, rgb).to(torch.uint8))


def label_segments(segments: Image.Image, uids: Tensor) -> Image.Image:
    """Writes on some segments what they are."""
    _, iids, _ = decode_uids(uids)
    labels = {
        (430, 60): "sky",
        (110, 90): "building",
        (480, 420): "road",
        (512, 498): "void",
        (206, 206): "crowd",
        (316, 380): f"person {iids[300, 316]}",
        (540, 366): f"person {iids[300, 540]}",
        (226, 275): f"car {iids[275, 226]}",
        (860, 400): f"car {iids[400, 860]}",
    }
    draw = ImageDraw.Draw(segments)
    for place, text in labels.items():
        outlined = {"fill": "white", "stroke_width": 3, "stroke_fill": "black"}
        draw.text(place, text, font=ImageFont.load_default(24), anchor="mm", **outlined)
    return segments


def label_person(parts: Image.Image, uids: Tensor) -> Image.Image:
    """One person, enlarged, with the uid of each part."""
    rows, columns = ZOOM
    scale = SIZE[0] // (rows.stop - rows.start)
    shown = parts.crop((columns.start, rows.start, columns.stop, rows.stop))
    shown = shown.resize((shown.width * scale, SIZE[0]), Image.Resampling.NEAREST)
    panel = Image.new("RGB", SIZE[::-1], "white")
    panel.paste(shown, (0, 0))
    draw = ImageDraw.Draw(panel)
    left = shown.width + 60
    font = ImageFont.load_default(36)
    names = {2: "head", 1: "torso", 3: "arm", 4: "leg"}
    for top, (pid, name) in zip(range(60, 999, 80), names.items()):
        uid = PERSON * 100_000 + 100 + pid
        found = torch.nonzero(uids[ZOOM] == uid)
        y, x = (scale * found[len(found) // 2]).tolist()
        draw.line([(x, y), (left - 10, top)], fill="black", width=3)
        draw.ellipse([x - 7, y - 7, x + 7, y + 7], fill="white", outline="black", width=3)
        draw.text(
            (left, top), f"{uid} = 24 | 001 | {pid:02d}", font=font, anchor="lm", fill="black"
        )
        draw.text((left + 470, top), name, font=font, anchor="lm", fill="black")
    others = {"24": "person, no instance: crowd", "24001": "person 1, no part", "7": "road"}
    for top, (uid, meaning) in zip((380, 430, 480), others.items()):
        draw.text((left, top), uid, font=font, anchor="lm", fill="dimgray")
        draw.text((left + 130, top), meaning, font=font, anchor="lm", fill="dimgray")
    return panel


if __name__ == "__main__":
    main()

"""Text is the same as Pillow's, and cut where it is too long."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pps_torch.visualization.text import TEXT_GRAY, Font


@pytest.mark.parametrize("size", [12, 13, 26])
@pytest.mark.parametrize("text", ["road", "traffic light", "To jWAV fjord, 15 %", "Ärger"])
def test_text_looks_as_if_pillow_had_written_it(size, text):
    line, font = round(1.5 * size), ImageFont.load_default(size=size)
    image = Image.new("L", (400, 2 * line), 255)
    place = 20, line // 2 + line // 2
    ImageDraw.Draw(image).text(place, text, TEXT_GRAY, font, anchor="lm")
    page = np.full((3, 2 * line, 400), 255, np.uint8)
    Font(size, line).draw(page, 20, line // 2, text)
    difference = np.abs(page.astype(int) - np.asarray(image).astype(int))
    assert (page < 100).any() and (difference > 0).mean() < 0.001
    assert Font(size, line).width(text) == font.getlength(text)


@pytest.mark.parametrize("most", [20, 50, 51, 52, 100])
def test_cut_text_is_as_long_as_it_may_be(most):
    font, text = Font(12, 18), "a traffic light that leads the way"
    cut = font.cut(text, most)
    assert cut.endswith("…") and text.startswith(cut[:-1]) and font.width(cut) <= most
    longer = text[: len(cut)].rstrip() + "…"
    assert font.width(longer) > most or longer == cut


def test_text_that_fits_is_not_cut():
    font, text = Font(12, 18), "traffic light"
    assert font.cut(text, font.width(text)) == text
    assert font.cut(text, font.width(text) - 1) != text
    assert font.cut("", 0) == ""

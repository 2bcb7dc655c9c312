"""Text on pictures, fast enough for pages of thousands of names."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TEXT_GRAY = 32
_ELLIPSIS = "…"


class _Glyph(NamedTuple):
    """A rendered character: how far it moves the pen, and its pixels, `(height, width)` uint8.

    The pixels reach beyond the pen's way by the overhang of the font, on either side.
    """

    advance: int
    pixels: NDArray[np.uint8]


class Font:
    """Dark text on a light page. Each character is rendered once; Pillow's text is far slower.

    Args:
        size: of the text, in pixels.
        line_height: in pixels; text stands in the middle of its line.
    """

    def __init__(self, size: int, line_height: int) -> None:
        from PIL import ImageFont

        self._font = ImageFont.load_default(size=size)
        self._line_height = line_height
        self._overhang = size // 4
        self._glyphs: dict[str, _Glyph] = {}

    def width(self, text: str) -> int:
        """The width of a text in pixels."""
        return sum(self._advances(text))

    def cut(self, text: str, most: int) -> str:
        """Shorten a text to a width of at most `most` pixels, with an ellipsis at its end."""
        ends = [*accumulate(self._advances(text))]
        if not ends or ends[-1] <= most:
            return text
        kept = bisect_right(ends, most - self.width(_ELLIPSIS))
        return text[:kept].rstrip() + _ELLIPSIS

    def draw(self, page: NDArray[np.uint8], left: int, top: int, text: str) -> None:
        """Draw a line of text, from its upper left corner, on a page `(3, H, W)`, in place."""
        rows = slice(top, top + self._line_height)
        for char in text:
            glyph = self._glyph(char)
            begin = left - self._overhang
            box = page[:, rows, begin : begin + glyph.pixels.shape[1]]
            np.minimum(box, glyph.pixels, out=box)
            left += glyph.advance

    def _advances(self, text: str) -> Iterable[int]:
        return (self._glyph(char).advance for char in text)

    def _glyph(self, char: str) -> _Glyph:
        if char not in self._glyphs:
            self._glyphs[char] = self._render(char)
        return self._glyphs[char]

    def _render(self, char: str) -> _Glyph:
        from PIL import Image, ImageDraw

        advance = round(self._font.getlength(char))
        image = Image.new("L", (advance + 2 * self._overhang, self._line_height), 255)
        place = self._overhang, self._line_height // 2
        ImageDraw.Draw(image).text(place, char, TEXT_GRAY, self._font, anchor="lm")
        return _Glyph(advance, np.array(image))

"""The colours of categories, in the forms in which people's files have them."""

from __future__ import annotations

import re
from typing import Any

from pps_torch.io.json_files import is_finite

Color = tuple[int, int, int]


def read_color(value: Any) -> Color | None:
    """Read a colour of a JSON; None for what is no colour.

    Args:
        value: `[r, g, b]` of 0..255, or of fractions 0..1 if all are written with a point; a
            fourth number, alpha, is left out. Or a text, `#rrggbb` or `#rgb`, with or without
            alpha.

    Example:
        >>> read_color([128, 64, 128]), read_color([0.5, 0.25, 1.0]), read_color("#804080")
        ((128, 64, 128), (128, 64, 255), (128, 64, 128))
        >>> read_color([128.0, 64.0, 128.0, 255.0]), read_color("purple"), read_color([1, 2, 300])
        ((128, 64, 128), None, None)
    """
    if isinstance(value, str):
        return _of_text(value.strip())
    if not isinstance(value, list) or len(value) not in (3, 4) or not all(map(is_finite, value)):
        return None
    channels = value[:3]
    if all(type(channel) is float and 0 <= channel <= 1 for channel in channels):
        channels = [255 * channel for channel in channels]
    elif not all(float(channel).is_integer() and 0 <= channel <= 255 for channel in channels):
        return None
    red, green, blue = (int(channel + 0.5) for channel in channels)
    return red, green, blue


def _of_text(text: str) -> Color | None:
    if re.fullmatch("#?[0-9a-fA-F]{3,4}", text):
        digits = [2 * digit for digit in text.removeprefix("#")[:3]]
    elif re.fullmatch("#?([0-9a-fA-F]{2}){3,4}", text):
        hexadecimal = text.removeprefix("#")
        digits = [hexadecimal[place : place + 2] for place in (0, 2, 4)]
    else:
        return None
    red, green, blue = (int(pair, 16) for pair in digits)
    return red, green, blue

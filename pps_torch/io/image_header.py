"""What an image file says of its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

_NAMES = {
    "grey": "one channel",
    "grey and alpha": "one channel and alpha",
    "palette": "a palette",
    "RGB": "three channels (RGB)",
    "RGB and alpha": "three channels (RGB) and alpha",
}


class TiffTags(NamedTuple):
    """The tags of the first page of a TIFF.

    Attributes:
        values: the integers of each tag.
        are_plain: whether the only page has the tags of a map of ids and no others, each as TIFF
            wants its numbers stored.
    """

    values: dict[int, tuple[int, ...]]
    are_plain: bool


@dataclass(frozen=True)
class Header:
    """What an image file says of its pixels, before any of them is decoded.

    Attributes:
        format: `PNG`, `TIFF` or `BMP`.
        height, width: pixels.
        channels: `grey`, `palette`, `RGB`, with `and alpha` where they have it, or another name.
        bits: of each channel.
        numbers: `unsigned`, `signed` or `floating point`.
        byte_order: `little-endian` or `big-endian`; empty where the format has only one.
        compression: of a TIFF; empty where the format has only one.
        pictures: how many pictures the file holds, as pages or frames.
        peculiarity: what makes the pixels others than the stored numbers, or another order of
            them; empty where there is nothing of this kind.
        tags: of a TIFF.
    """

    format: str
    height: int
    width: int
    channels: str
    bits: int
    numbers: str = "unsigned"
    byte_order: str = ""
    compression: str = ""
    pictures: int = 1
    peculiarity: str = ""
    tags: TiffTags = field(default=TiffTags({}, False), repr=False, compare=False)

    def __str__(self) -> str:
        channels = _NAMES.get(self.channels, self.channels)
        numbers = "" if self.numbers == "unsigned" else f"{self.numbers} "
        compression = f"compression {self.compression}" if self.compression else ""
        storage = [self.format, self.byte_order, compression, self.peculiarity]
        bits = "1 bit" if self.bits == 1 else f"{self.bits} bits"
        return f"{channels} of {numbers}{bits} ({', '.join(filter(None, storage))})"

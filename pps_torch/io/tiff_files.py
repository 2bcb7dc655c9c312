"""TIFF: its tags, and whether it holds all strips; Pillow makes up what is missing."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from pps_torch.io.image_header import Header, TiffTags

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
FILL_ORDER, DESCRIPTION, OFFSETS, ORIENTATION, SAMPLES = 266, 270, 273, 274, 277
ROWS_PER_STRIP, BYTE_COUNTS, PLANAR, PREDICTOR = 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 323, 324, 325
SUB_PICTURES, EXTRA_SAMPLES, SAMPLE_FORMAT, DEPTH = 330, 338, 339, 32997

_COMPRESSIONS = {
    1: "none",
    5: "LZW",
    8: "deflate",
    32946: "deflate",
    32773: "PackBits",
    50000: "zstd",
    34925: "LZMA",
    2: "CCITT",
    3: "CCITT",
    4: "CCITT",
    6: "JPEG",
    7: "JPEG",
    34712: "JPEG 2000",
    34887: "LERC",
    50001: "WebP",
    50002: "JPEG XL",
}

#: Compressions that keep numbers as they are.
LOSSLESS = ("none", "LZW", "deflate", "PackBits", "zstd", "LZMA")

_CHANNELS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "a mask", 5: "CMYK", 6: "YCbCr"}
_NUM_CHANNELS = {"grey": 1, "palette": 1, "RGB": 3}
_NUMBERS = {1: "unsigned", 2: "signed", 3: "floating point"}

#: Type of a tag -> how its integers are stored; other types hold none.
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_TEXT = 2

#: The tags of a map of ids, and the types that their numbers may have: of 16 bits, or of 32.
_PLAIN_TAGS = {
    **dict.fromkeys((BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANAR, SAMPLE_FORMAT), (3,)),
    **dict.fromkeys((WIDTH, HEIGHT, OFFSETS, ROWS_PER_STRIP, BYTE_COUNTS), (3, 4)),
}
_MOST_VALUES = 1 << 24
_MOST_TAGS = 1 << 12
_MOST_TEXT = 1 << 16


class _Layout(NamedTuple):
    """How a TIFF writes numbers: byte order, and sizes in a classic TIFF or a BigTIFF."""

    order: str
    is_big: bool

    def read(self, file: BinaryIO, form: str, count: int = 1) -> tuple[int, ...]:
        form = f"{self.order}{count}{form}"
        content = file.read(struct.calcsize(form))
        if len(content) < struct.calcsize(form):
            raise ValueError("a TIFF that ends within its tags")
        return struct.unpack(form, content)


def read_tiff_header(file: BinaryIO) -> Header:
    """Read the tags of the first page, and whether there are more.

    Raises:
        ValueError: they are damaged, or do not say where all pixels are.
    """
    layout, page, pictures = _read_tags(file)
    tags = page.values
    height, width = _one(tags, HEIGHT, 0), _one(tags, WIDTH, 0)
    bits = tags.get(BITS, (1,))
    if not 1 <= height < 2**31 or not 1 <= width < 2**31 or not bits or len(set(bits)) > 1:
        raise ValueError("a TIFF whose size or bits mean nothing")
    return Header(
        "TIFF",
        height,
        width,
        _channels(tags),
        bits[0],
        _numbers(tags),
        "little-endian" if layout.order == "<" else "big-endian",
        _compression(tags),
        pictures,
        _peculiarity(layout, tags),
        page,
    )


def deflated_strips(header: Header) -> list[tuple[int, int, int]] | None:
    """The strips of a grey TIFF that has the tags of a map of ids and no others.

    Args:
        header: of a TIFF that `check_tiff` has let through.

    Returns:
        place and bytes in the file and the number of rows of each, from top to bottom, as zlib has
        made them of the rows; None for any other TIFF.
    """
    tags = header.tags.values
    if not header.tags.are_plain or header.compression != "deflate":
        return None
    if _one(tags, PLANAR, 1) != 1 or len(tags[BITS]) != 1:
        return None
    offsets, counts, (rows, _), _ = _pieces(tags)
    num_rows = [min(rows, header.height - top) for top in range(0, header.height, rows)]
    return list(zip(offsets, counts, num_rows, strict=True))


def check_tiff(header: Header, file: BinaryIO) -> None:
    """Check that a TIFF holds each strip or tile that its size asks for.

    Args:
        header: of the TIFF.
        file: the TIFF.

    Raises:
        ValueError: one is missing, or lies outside of the file.
    """
    tags = header.tags.values
    offsets, counts, shape, expected = _pieces(tags)
    if not len(offsets) == len(counts) == expected:
        raise ValueError(
            f"expected {expected} strips or tiles of pixels, found {len(offsets)} places and "
            f"{len(counts)} lengths"
        )
    end = file.seek(0, os.SEEK_END)
    for place, length in zip(offsets, counts):
        if place < 8 or length < 1 or place + length > end:
            raise ValueError(f"a strip or tile of {length} bytes at {place}, outside of the file")
    if header.compression == "none":
        _check_lengths(tags, counts, *shape)


def _read_tags(file: BinaryIO) -> tuple[_Layout, TiffTags, int]:
    """The tags of the first page, and the number of pictures in the file."""
    file.seek(0)
    beginning = file.read(4)
    layout = _Layout("<" if beginning[:2] == b"II" else ">", b"+" in beginning)
    if layout.is_big:
        _, _, place = (*layout.read(file, "H"), *layout.read(file, "H"), *layout.read(file, "Q"))
    else:
        (place,) = layout.read(file, "I")
    page, next_place = _read_page(file, layout, place)
    tags = page.values
    pictures, seen = 1 + len(tags.get(SUB_PICTURES, ())), {place}
    while next_place and next_place not in seen and pictures < 1000:
        seen.add(next_place)
        pictures += 1
        try:
            _, next_place = _read_page(file, layout, next_place)
        except ValueError:  # what is called the next page is none, yet there should be one
            break
    return layout, page, max(pictures, _told_pictures(tags))


def _read_page(file: BinaryIO, layout: _Layout, place: int) -> tuple[TiffTags, int]:
    """The tags of a page, and the place of the next one."""
    file.seek(place)
    (count,) = layout.read(file, "Q" if layout.is_big else "H")
    if count > _MOST_TAGS:
        raise ValueError(f"a TIFF with {count} tags")
    entry, inline = ("HHQ8s", 8) if layout.is_big else ("HHI4s", 4)
    size = struct.calcsize(f"{layout.order}{entry}")
    content = file.read(size * count)
    if len(content) < size * count:
        raise ValueError("a TIFF that ends within its tags")
    (next_place,) = layout.read(file, "Q" if layout.is_big else "I")
    tags: dict[int, tuple[int, ...]] = {}
    entries = list(struct.iter_unpack(f"{layout.order}{entry}", content))
    for tag, kind, number, value in entries:
        values = _values(file, layout, tag, kind, number, value, inline)
        if values is not None:
            tags[tag] = values
    kinds = [(tag, kind) for tag, kind, *_ in entries]
    are_plain = not layout.is_big and next_place == 0 and _are_plain(kinds)
    return TiffTags(tags, are_plain), next_place


def _are_plain(kinds: list[tuple[int, int]]) -> bool:
    """Whether tags, each with its type, are those of a map of ids, in their order."""
    numbers = [tag for tag, _ in kinds]
    is_known = all(kind in _PLAIN_TAGS.get(tag, ()) for tag, kind in kinds)
    return is_known and numbers == sorted(set(numbers))


def _values(
    file: BinaryIO, layout: _Layout, tag: int, kind: int, number: int, value: bytes, inline: int
) -> tuple[int, ...] | None:
    """The integers of a tag, or the bytes of a description; None for what is not looked at."""
    if kind == _TEXT and tag == DESCRIPTION and number <= _MOST_TEXT:
        form = "B"
    elif kind in _INTEGERS:
        form = _INTEGERS[kind]
    else:
        return None
    if number > _MOST_VALUES:
        raise ValueError(f"a TIFF with {number} values for tag {tag}")
    size = struct.calcsize(f"{layout.order}{form}") * number
    if size <= inline:
        return struct.unpack(f"{layout.order}{number}{form}", value[:size])
    (place,) = struct.unpack(f"{layout.order}{'Q' if layout.is_big else 'I'}", value)
    before = file.tell()
    file.seek(place)
    values = layout.read(file, form, number)
    file.seek(before)
    return values


def _one(tags: dict[int, tuple[int, ...]], tag: int, default: int) -> int:
    values = tags.get(tag, (default,))
    if len(values) != 1:
        raise ValueError(f"a TIFF with {len(values)} values for tag {tag}, expected one")
    return values[0]


def _told_pictures(tags: dict[int, tuple[int, ...]]) -> int:
    """How many pictures ImageJ and volumes put into one page."""
    text = bytes(v & 255 for v in tags.get(DESCRIPTION, ())).decode("latin-1")
    told = re.match(r"ImageJ=.*^images=(\d{1,9})$", text, re.S | re.M)
    return max(int(told[1]) if told else 1, _one(tags, DEPTH, 1))


def _channels(tags: dict[int, tuple[int, ...]]) -> str:
    channels = _CHANNELS.get(_one(tags, PHOTOMETRIC, -1), "unknown colours")
    extra = _one(tags, SAMPLES, 1) - _NUM_CHANNELS.get(channels, 1)
    if extra < 0:
        raise ValueError(f"a TIFF of {channels} with {_one(tags, SAMPLES, 1)} channels")
    if extra == 1 and tags.get(EXTRA_SAMPLES) == (2,):
        return f"{channels} and alpha"
    return (
        f"{channels} and {extra} spare channels"
        if extra and channels in _NUM_CHANNELS
        else channels
    )


def _numbers(tags: dict[int, tuple[int, ...]]) -> str:
    formats = set(tags.get(SAMPLE_FORMAT, (1,)))
    return _NUMBERS.get(formats.pop(), "unknown") if len(formats) == 1 else "mixed"


def _compression(tags: dict[int, tuple[int, ...]]) -> str:
    number = _one(tags, COMPRESSION, 1)
    return _COMPRESSIONS.get(number, str(number))


def _peculiarity(layout: _Layout, tags: dict[int, tuple[int, ...]]) -> str:
    """What makes the pixels others than the stored numbers, or another order of them."""
    predictor, compression = _one(tags, PREDICTOR, 1), _compression(tags)
    may_predict = compression not in ("none", "PackBits")
    for is_so, what in (
        (_one(tags, PHOTOMETRIC, 1) == 0, "inverted levels"),
        (_one(tags, ORIENTATION, 1) != 1, f"orientation {_one(tags, ORIENTATION, 1)}"),
        (_one(tags, FILL_ORDER, 1) != 1, "the bits of each byte reversed"),
        (_one(tags, PLANAR, 1) != 1 and _one(tags, SAMPLES, 1) > 1, "one plane after the other"),
        (predictor not in ((1, 2) if may_predict else (1,)), f"predictor {predictor}"),
        (layout.is_big and layout.order == ">", "the sizes of a BigTIFF"),
    ):
        if is_so:
            return what
    return ""


def _pieces(
    tags: dict[int, tuple[int, ...]],
) -> tuple[Sequence[int], Sequence[int], tuple[int, int], int]:
    """Places and lengths of the strips or tiles, their (rows, columns), and how many it needs."""
    height, width = _one(tags, HEIGHT, 0), _one(tags, WIDTH, 0)
    if TILE_WIDTH in tags or TILE_OFFSETS in tags:
        rows, columns = _one(tags, TILE_HEIGHT, 0), _one(tags, TILE_WIDTH, 0)
        offsets, counts = tags.get(TILE_OFFSETS, ()), tags.get(TILE_BYTE_COUNTS, ())
    else:
        rows, columns = min(_one(tags, ROWS_PER_STRIP, height), height), width
        offsets, counts = tags.get(OFFSETS, ()), tags.get(BYTE_COUNTS, ())
    if rows < 1 or columns < 1:
        raise ValueError("a TIFF whose strips or tiles have no pixels")
    planes = _one(tags, SAMPLES, 1) if _one(tags, PLANAR, 1) == 2 else 1
    return offsets, counts, (rows, columns), -(-height // rows) * -(-width // columns) * planes


def _check_lengths(
    tags: dict[int, tuple[int, ...]], counts: Sequence[int], rows: int, columns: int
) -> None:
    """Check that strips or tiles without compression have the bytes of their pixels."""
    samples = 1 if _one(tags, PLANAR, 1) == 2 else _one(tags, SAMPLES, 1)
    row = (columns * samples * tags.get(BITS, (1,))[0] + 7) // 8
    strips = -(-_one(tags, HEIGHT, 0) // rows)
    is_tiled = TILE_OFFSETS in tags
    for index, found in enumerate(counts):
        is_last = not is_tiled and index % strips == strips - 1
        expected = row * (_one(tags, HEIGHT, 0) - (strips - 1) * rows if is_last else rows)
        if found < expected:
            raise ValueError(f"expected {expected} bytes in strip or tile {index}, found {found}")

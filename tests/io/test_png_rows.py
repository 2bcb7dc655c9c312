"""The filters of PNG's rows: by hand, and as other libraries write them."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL.Image
import png
import pytest

from pps_torch.io import png_rows
from pps_torch.io.png_files import Chunk, read_chunks
from pps_torch.io.png_rows import (
    plain_png_pixels,
    png_pixels,
    unfiltered,
    unfiltered_in_python,
)

VERSIONS = ["compiled", "Python"]


@pytest.fixture(params=VERSIONS)
def version(request, monkeypatch):
    if request.param == "Python":
        monkeypatch.setattr(png_rows, "compiled", None)
    elif not png_rows.is_compiled():
        pytest.skip("pps_torch.compiled is not built")


def filtered(pixels: np.ndarray, kinds: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """Filter rows as the specification says, all bytes of a row at once."""
    padded = np.pad(pixels, ((1, 0), (pixel_bytes, 0))).astype(np.int64)
    above, left = padded[:-1, pixel_bytes:], padded[1:, :-pixel_bytes]
    corner = padded[:-1, :-pixel_bytes]
    target = left + above - corner
    neighbours = np.stack([left, above, corner])
    nearest = np.abs(neighbours - target).argmin(0)[None]  # the first of equal ones
    paeth = np.take_along_axis(neighbours, nearest, 0)[0]
    predictions = np.stack([np.zeros_like(left), left, above, (left + above) // 2, paeth])
    rows = pixels - predictions[kinds, np.arange(len(kinds))]
    return np.concatenate([kinds[:, None], rows % 256], 1).astype(np.uint8)


def test_each_filter_by_hand(version):
    rows = [[0, 10, 20, 250], [1, 5, 1, 255], [2, 1, 1, 1], [3, 4, 4, 4], [4, 1, 2, 3]]
    expected = [[10, 20, 250], [5, 6, 5], [6, 7, 6], [7, 11, 12], [8, 13, 16]]
    assert unfiltered(np.array(rows, np.uint8), 1).tolist() == expected


@pytest.mark.parametrize("pixel_bytes", [1, 2, 3, 4, 6, 8])
def test_filtered_rows_come_back(version, pixel_bytes):
    """Noise, and regions as of maps of ids, whose rows are mostly like those above."""
    rng = np.random.default_rng(pixel_bytes)
    for height, width in ((1, 1), (4, 1), (9, 2), (30, 41)):
        noise = rng.integers(0, 256, (height, width * pixel_bytes)).astype(np.uint8)
        colors = rng.integers(0, 256, (4, pixel_bytes)).astype(np.uint8)
        corners = np.add.outer(np.arange(height) // 11, (np.arange(width) + 3) // 13)
        for pixels in (noise, colors[corners % 4].reshape(height, -1)):
            rows = filtered(pixels, rng.integers(0, 5, height), pixel_bytes)
            assert np.array_equal(unfiltered(rows, pixel_bytes), pixels)


def test_no_rows(version):
    assert unfiltered(np.zeros((0, 4), np.uint8), 3).shape == (0, 3)


def test_a_filter_that_there_is_none_of(version):
    rows = np.array([[0, 1, 2, 3], [5, 1, 2, 3]], np.uint8)
    with pytest.raises(ValueError, match="expected filters of rows from 0 to 4, found 5"):
        unfiltered(rows, 3)


@pytest.mark.skipif(not png_rows.is_compiled(), reason="pps_torch.compiled is not built")
@pytest.mark.parametrize("seed", range(20))
def test_both_versions_read_the_same(seed):
    """Rows that nobody has filtered: any bytes are some picture."""
    rng = np.random.default_rng(seed)
    pixel_bytes, height, width = rng.integers(1, 9), rng.integers(1, 9), rng.integers(1, 99)
    rows = rng.choice([0, 0, 0, 1, 255], (height, 1 + width * pixel_bytes)).astype(np.uint8)
    rows[:, 0] = rng.integers(0, 5, height)
    expected = unfiltered_in_python(rows, int(pixel_bytes))
    assert np.array_equal(unfiltered(rows, int(pixel_bytes)), expected)


@pytest.mark.skipif(not png_rows.is_compiled(), reason="pps_torch.compiled is not built")
@pytest.mark.parametrize("pixel_bytes", [0, 4])
def test_nothing_is_read_beyond_the_ends(pixel_bytes):
    with pytest.raises(ValueError, match=f"pixel_bytes: expected 1 to 3, found {pixel_bytes}"):
        unfiltered(np.zeros((2, 4), np.uint8), pixel_bytes)


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pngs_of_pypng(version, channels, bits, interlace):
    rng = np.random.default_rng(bits)
    for height, width in ((1, 1), (3, 2), (9, 13)):
        pixels = rng.integers(0, 2**bits, (height, width, channels)).astype(f"u{bits // 8}")
        content = io.BytesIO()
        kind = {"greyscale": channels == 1, "alpha": channels == 4}
        writer = png.Writer(width, height, bitdepth=bits, interlace=interlace, **kind)
        writer.write(content, pixels.reshape(height, -1).tolist())
        found = png_pixels(read_chunks(content.getvalue()))
        assert found.dtype == pixels.dtype
        assert np.array_equal(found, pixels[..., 0] if channels == 1 else pixels)


def test_pngs_of_pillow(version):
    """It chooses a filter for each row."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :60]
    ramp = np.stack([x * 4, y * 6, x + y], -1) % 256
    regions = np.repeat(np.repeat(rng.integers(0, 256, (5, 6, 3)), 8, 0), 10, 1)
    for pixels in (ramp.astype(np.uint8), regions.astype(np.uint8)):
        content = io.BytesIO()
        PIL.Image.fromarray(pixels).save(content, "PNG")
        assert np.array_equal(png_pixels(read_chunks(content.getvalue())), pixels)


def chunked(*parts: tuple[bytes, bytes]) -> list[Chunk]:
    return [Chunk(kind, memoryview(data)) for kind, data in parts]


def header(bits: int, methods: bytes = bytes(2)) -> tuple[bytes, bytes]:
    """That of an RGB image of one pixel."""
    return b"IHDR", struct.pack(">IIBB", 1, 1, bits, 2) + methods + b"\0"


def test_what_makes_a_png_of_16_bits_another_one_is_refused():
    """Decoders differ in what they make of these."""
    rows, end = zlib.compress(bytes([0, 1, 2, 3, 4, 5, 6])), (b"IEND", b"")
    first, second = (b"IDAT", rows[:5]), (b"IDAT", rows[5:])
    whole = header(16), (b"tEXt", b"a\0b"), first, second, (b"tIME", bytes(7)), end
    assert png_pixels(chunked(*whole)).tolist() == [[[258, 772, 1286]]]
    for parts, expected in (
        ((header(16, b"\1\0"), first, second, end), "expected the compression and the filters"),
        ((header(16, b"\0\x40"), first, second, end), "expected the compression and the filters"),
        ((header(16), header(16), first, second, end), "expected one header and all rows in one"),
        ((header(16), first, (b"tIME", bytes(7)), second, end), "expected one header and all rows"),
        ((header(16), end), "expected one header and all rows in one"),
        ((header(16), (b"ABCD", b""), first, second, end), "expected the chunks .* found b'ABCD'"),
        ((header(16), first, end), "expected 7 bytes of pixels in it, found"),
    ):
        with pytest.raises(ValueError, match=expected):
            png_pixels(chunked(*parts))


def test_what_is_not_plain_is_left_to_pillow():
    rows, end = zlib.compress(bytes([0, 1, 2, 3])), (b"IEND", b"")
    whole = header(8), (b"IDAT", rows), end
    assert plain_png_pixels(chunked(*whole)).tolist() == [[[1, 2, 3]]]
    longer, other = zlib.compress(bytes(5)), zlib.compress(bytes([7, 1, 2, 3]))
    for parts in (
        (header(8, b"\1\0"), *whole[1:]),
        (header(8, b"\0\x40"), *whole[1:]),
        (header(8), (b"tRNS", bytes(6)), *whole[1:]),
        (header(8), *whole),
        (header(8), end),
        *((header(8), (b"IDAT", data), end) for data in (rows[:-2], rows[:6], longer, other)),
        (header(8), (b"IDAT", rows[:-1] + bytes([rows[-1] ^ 1])), end),  # another checksum
    ):
        assert plain_png_pixels(chunked(*parts)) is None, parts

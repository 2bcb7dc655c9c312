"""Pixels from images, and PNGs from pixels.

The PNGs that ids mostly come in, grey or RGB of 8 bits with nothing but rows in them, are unpacked
here, in a fraction of Pillow's time, where the loop over their rows is compiled, rows are whole
and all checksums are right; so are the strips of a TIFF that has what the data sets' maps of uids
have and no more. Pillow decodes everything else, and says what is wrong with a file. Of a PNG of
3 x 16 bits it would give 8.
"""

from __future__ import annotations

import io
import zlib  # for its errors, which Pillow raises whatever unpacks here
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin  # with the formats named here, Pillow need not load its others
import PIL.TiffImagePlugin

from pps_torch.formats.rgb_ids import id_colors
from pps_torch.io.bmp_files import read_bmp_pixels
from pps_torch.io.deflate import zlib as fast_zlib
from pps_torch.io.errors import InputError
from pps_torch.io.image_files import damages
from pps_torch.io.image_header import Header
from pps_torch.io.image_runs import image_runs
from pps_torch.io.png_files import SMALL, png_of_rows, read_chunks
from pps_torch.io.png_rows import (
    ABOVE,
    AS_IT_IS,
    is_compiled,
    is_interlaced,
    plain_png_pixels,
    png_pixels,
    read_rows,
)
from pps_torch.io.tiff_files import deflated_strips


def decode_pixels(header: Header, content: bytes) -> np.ndarray:
    """Decode all pixels of a map; what the file does not hold is an error.

    Args:
        header: what the file says of itself, checked.
        content: the file.

    Returns:
        (H, W), or (H, W, C) of several channels; bool, uint8, uint16, int16 or int32.

    Raises:
        many: the file is damaged, see [`decoding`][pps_torch.io.image_codecs.decoding].
    """
    if header.format == "BMP":
        return read_bmp_pixels(io.BytesIO(content))
    chunks = read_chunks(content) if header.format == "PNG" else []
    if chunks and (header.bits, header.channels) == (16, "RGB"):
        return png_pixels(chunks)
    is_plain = header.bits == 8 and header.channels in ("grey", "RGB") and is_compiled()
    if chunks and is_plain and (plain := plain_png_pixels(chunks)) is not None:
        return plain  # Pillow decodes all others, or says what is wrong
    if header.format == "TIFF" and (strips := _decode_strips(header, content)) is not None:
        return strips
    image = PIL.Image.open(io.BytesIO(content), formats=(header.format,))
    if (image.height, image.width) != (header.height, header.width):
        raise ValueError(f"its size is also said to be {image.height} x {image.width}")
    pixels = np.asarray(image)
    if chunks and (is_interlaced(chunks) or not pixels[-1].any()):
        read_rows(chunks)  # Pillow leaves those zero that are missing at the end
    return pixels


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode a grey image `(H, W)` or an RGB one `(H, W, 3)` as a PNG of 8 or 16 bits, fast.

    Each row is stored as its difference from the one above, which is mostly zero in a map of ids. A
    twelfth of the time of encoders that choose for each row how to store it, and smaller.

    Raises:
        TypeError: another dtype.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"pixels: expected uint8 or uint16, found {pixels.dtype}")
    height, width = pixels.shape[:2]
    bits = 8 * pixels.itemsize
    if bits == 16:
        pixels = np.ascontiguousarray(pixels, ">u2").view(np.uint8)
    values = pixels.reshape(height, -1)
    rows = np.empty((height, values.shape[1] + 1), np.uint8)
    rows[:, 0] = ABOVE
    rows[:1, 1:] = values[:1]
    np.subtract(values[1:], values[:-1], out=rows[1:, 1:])
    return png_of_rows("RGB" if pixels.ndim == 3 else "grey", width, rows, bits)


def encode_picture(pixels: np.ndarray) -> bytes:
    """Encode a picture in flat colours `(H, W, 3)` uint8 as a small PNG.

    Where 256 colours are enough it has a palette, which takes a third of the bytes.
    """
    height, width = pixels.shape[:2]
    (ids,), lengths = image_runs(pixels)
    colors, index = np.unique(ids, return_inverse=True)
    if len(colors) > 256:
        return png_of_rows("RGB", width, _rows_as_they_are(pixels), level=SMALL)
    places = np.repeat(index.astype(np.uint8), lengths).reshape(height, width)
    rows = _rows_as_they_are(places)
    return png_of_rows("palette", width, rows, palette=id_colors(colors), level=SMALL)


def _rows_as_they_are(pixels: np.ndarray) -> np.ndarray:
    """The rows of a PNG of 8 bits, `(H, 1 + bytes of a row)` uint8, without differences."""
    return np.pad(pixels.reshape(len(pixels), -1), ((0, 0), (1, 0)), constant_values=AS_IT_IS)


def _decode_strips(header: Header, content: bytes) -> np.ndarray | None:
    """Decode a TIFF of ids whose strips zlib has made; None where Pillow has to look at it."""
    is_plain = header.channels == "grey" and header.byte_order == "little-endian"
    strips = deflated_strips(header) if is_plain else None
    if strips is None or header.bits not in (8, 16, 32):
        return None
    kind = "u" if header.numbers == "unsigned" and header.bits < 32 else "i"
    pixels = np.empty((header.height, header.width), f"<{kind}{header.bits // 8}")
    bytes_of_rows, view, top = pixels.view(np.uint8), memoryview(content), 0
    for place, length, num_rows in strips:
        block = bytes_of_rows[top : top + num_rows]
        packed, top = fast_zlib.decompressobj(), top + num_rows
        try:
            strip = packed.decompress(view[place : place + length], block.size + 1)
        except fast_zlib.error:
            return None
        if len(strip) != block.size or not packed.eof:
            return None
        block[:] = np.frombuffer(strip, np.uint8).reshape(block.shape)
    return pixels


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn what Pillow and others raise for damaged files into an error that names the file."""
    with damages(path):
        try:
            yield
        except PIL.UnidentifiedImageError as error:
            raise InputError(
                f"{path}: expected an image, found no image format in it that is read here"
            ) from error
        except (PIL.Image.DecompressionBombError, zlib.error) as error:
            raise ValueError(str(error)) from error

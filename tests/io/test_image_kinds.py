"""What other libraries write is read as the numbers that they wrote, or refused by name."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from pps_torch.io.errors import InputError
from pps_torch.io.image_files import check_id_map, count_channels, read_size
from pps_torch.io.image_kinds import KINDS
from pps_torch.io.images import read_id_map, read_photo, read_rgb, read_rgb_ids
from pps_torch.io.tiff_files import LOSSLESS

SHAPE = (40, 33)
ORDERS = {"<": "little-endian", ">": "big-endian"}
COMPRESSIONS = {
    "none": (None, False),
    "deflate": ("zlib", False),
    "deflate, predicted": ("zlib", True),
    "LZW": ("lzw", False),
    "LZW, predicted": ("lzw", True),
    "PackBits": ("packbits", False),
    "zstd": ("zstd", False),
    "LZMA": ("lzma", False),
}
LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 16)},
    "BigTIFF": {"bigtiff": True},
}


def numbers(dtype: str, shape=SHAPE) -> np.ndarray:
    """Numbers that show any loss of bits, order or sign."""
    limits, rng = np.iinfo(dtype), np.random.default_rng(0)
    return rng.integers(limits.min // 2, limits.max // 2, shape, dtype)


def is_read(order: str, dtype: str, compression: str, layout: str) -> bool:
    """What the table of kinds says of a TIFF of one channel."""
    if (order, layout) == (">", "BigTIFF"):
        return False
    kind = {"u": "unsigned", "i": "signed"}[dtype[0]]
    return any(
        kind == k.numbers
        and k.byte_order == ORDERS[order]
        and 8 * int(dtype[1]) in k.bits
        and compression.split(",")[0] in k.compressions
        for k in KINDS
        if (k.format, k.channels) == ("TIFF", "grey")
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_tiffs_of_tifffile(tmp_path, order, dtype):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    ids, path = numbers(dtype), tmp_path / "map.tif"
    read = refused = 0
    for compression, (codec, predictor) in COMPRESSIONS.items():
        for layout, options in LAYOUTS.items():
            tifffile.imwrite(
                path,
                ids.astype(order + dtype) if dtype[1] != "1" else ids,
                photometric="minisblack",
                byteorder=order,
                compression=codec,
                predictor=predictor,
                **options,
            )
            case = f"{order}{dtype} {compression} {layout}"
            if is_read(order, dtype, compression, layout):
                try:
                    assert np.array_equal(read_id_map(path), ids), case
                except InputError as error:  # older versions of Pillow lack zstd
                    assert compression == "zstd" and "cut off" in str(error), case
                read += 1
            else:
                with pytest.raises(InputError, match="map.tif: expected .*which is not read"):
                    read_id_map(path)
                refused += 1
    assert read + refused == len(COMPRESSIONS) * len(LAYOUTS)
    assert bool(read) == ((order, dtype) not in {("<", "i1"), (">", "i1"), (">", "u4")})


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("order", ORDERS)
def test_colours_of_tifffile(tmp_path, order, compression):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    rgb, path = numbers("u1", (*SHAPE, 3)), tmp_path / "map.tif"
    common = {"photometric": "rgb", "byteorder": order, "compression": compression}
    tifffile.imwrite(path, rgb, **common, rowsperstrip=7)
    assert np.array_equal(read_rgb(path), rgb.transpose(2, 0, 1))
    for lowest in (255, 254):
        alpha = np.full((*SHAPE, 1), 255, np.uint8)
        alpha[3, 4] = lowest
        rgba = np.concatenate([rgb, alpha], 2)
        tifffile.imwrite(path, rgba, **common, extrasamples=["unassalpha"])
        if lowest == 255:
            assert np.array_equal(read_rgb(path), rgb.transpose(2, 0, 1))
    with pytest.raises(InputError, match="map.tif: .* alpha down to 254"):
        read_rgb_ids(path)
    for odd, found in (
        ({"data": rgb.transpose(2, 0, 1).copy(), "planarconfig": "separate"}, "one plane after"),
        ({"data": rgb.astype(np.uint16)}, "RGB. of 16 bits"),
        ({"data": np.concatenate([rgb, alpha], 2), "extrasamples": [0]}, "spare"),
    ):
        tifffile.imwrite(path, **odd, **common)
        with pytest.raises(InputError, match=f"map.tif: expected three channels .*{found}"):
            read_rgb(path)


@pytest.mark.parametrize(
    ("mode", "depth", "channels"),
    [
        *(("L", depth, 1) for depth in (1, 2, 4, 8, 16)),
        *(("LA", depth, 2) for depth in (8, 16)),
        *(("RGB", depth, 3) for depth in (8, 16)),
        *(("RGBA", depth, 4) for depth in (8, 16)),
    ],
)
@pytest.mark.parametrize("interlaced", [False, True])
def test_pngs_of_pypng(tmp_path, mode, depth, channels, interlaced):
    png = pytest.importorskip("png")
    path = tmp_path / "map.png"
    ids = np.random.default_rng(0).integers(0, 1 << depth, (*SHAPE, channels))
    if "A" in mode:
        ids[..., -1] = (1 << depth) - 1
    height, width = SHAPE
    writer = png.Writer(
        width,
        height,
        bitdepth=depth,
        greyscale="L" in mode,
        alpha="A" in mode,
        interlace=interlaced,
    )
    with path.open("wb") as file:
        writer.write_array(file, ids.reshape(-1).tolist())
    reader = read_rgb if "RGB" in mode else read_id_map
    if depth in (2, 4) or (depth == 16 and mode != "L"):
        with pytest.raises(InputError, match=f"of {depth} bits .*, which is not read"):
            reader(path)
    else:
        expected = ids[..., :3].transpose(2, 0, 1) if "RGB" in mode else ids[..., 0]
        assert np.array_equal(reader(path), expected)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_of_pypng(tmp_path, depth):
    png = pytest.importorskip("png")
    path, ids = tmp_path / "map.png", np.random.default_rng(0).integers(0, 1 << depth, SHAPE)
    palette = [(255 - i, i, 7) for i in range(1 << depth)]
    with path.open("wb") as file:
        png.Writer(*SHAPE[::-1], palette=palette, bitdepth=depth).write(file, ids.tolist())
    assert np.array_equal(read_id_map(path), ids)


def test_several_pictures_in_one_file_are_refused(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    ids, path = numbers("u1"), tmp_path / "map.tif"
    readers = (read_id_map, read_size, count_channels, lambda p: check_id_map(p, SHAPE))
    for write in (
        lambda: tifffile.imwrite(path, np.stack([ids, ids]), photometric="minisblack"),
        lambda: tifffile.imwrite(path, np.stack([ids, ids]), imagej=True),
        lambda: _with_a_picture_inside(tifffile, path, ids),
    ):
        write()
        for read in (*readers, lambda p: read_photo(p, SHAPE)):
            with pytest.raises(InputError, match="map.tif: expected one picture, found 2 "):
                read(path)
    tifffile.imwrite(path, ids, imagej=True)
    assert np.array_equal(read_id_map(path), ids)


def _with_a_picture_inside(tifffile, path, ids):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(ids, photometric="minisblack", subifds=1)
        tiff.write(ids[::2, ::2].copy(), photometric="minisblack", subfiletype=1)


def test_animations_are_refused(tmp_path):
    frames = [PIL.Image.fromarray(frame) for frame in (numbers("u1"), numbers("u1")[::-1])]
    for suffix in ("png", "webp"):
        path = tmp_path / f"map.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        with pytest.raises(InputError, match=f"map.{suffix}: expected one picture, found 2"):
            read_photo(path, SHAPE)
    with pytest.raises(InputError, match="map.png: expected one picture, found 2"):
        read_id_map(tmp_path / "map.png")


def packed(ids: np.ndarray, bits: int) -> list[bytes]:
    """The rows of indices with so many bits each."""
    digits = np.unpackbits(ids[..., None], axis=2)[..., 8 - bits :]
    return [np.packbits(row).tobytes() for row in digits.reshape(len(ids), -1)]


def bmp(ids: np.ndarray, bits: int, palette, upward=True, compression=0) -> bytes:
    rows = [row.ljust(-(-len(row) // 4) * 4, b"\0") for row in packed(ids, bits)]
    body = b"".join(rows[::-1] if upward else rows)
    colors = b"".join(bytes((*color[::-1], 0)) for color in palette)
    place, (height, width) = 54 + len(colors), ids.shape
    head = struct.pack("<2sIHHI", b"BM", place + len(body), 0, 0, place)
    fields = (40, width, height if upward else -height, 1, bits, compression, len(body), 0, 0)
    return head + struct.pack("<IiiHHIIiiII", *fields, len(palette), 0) + colors + body


GREYS = [(i, i, i) for i in range(256)]
PALETTES = {
    "black and white": GREYS[::255],
    "white and black": GREYS[::-255],
    "two colours": [(1, 2, 3), (4, 5, 6)],
    "16 levels": GREYS[:16],
    "256 levels": GREYS,
}


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_palettes_of_bmp(tmp_path, bits, palette):
    colors, path = PALETTES[palette][: 1 << bits], tmp_path / "map.bmp"
    ids = np.random.default_rng(0).integers(0, len(colors), SHAPE).astype(np.uint8)
    for upward in (True, False):
        path.write_bytes(bmp(ids, bits, colors, upward))
        assert np.array_equal(read_id_map(path), ids) and read_size(path) == SHAPE
    path.write_bytes(bmp(ids, bits, colors, compression=1))
    with pytest.raises(InputError, match="map.bmp: .*compression RLE.*, which is not read"):
        read_id_map(path)
    path.write_bytes(bmp(ids, bits, colors)[:-1])
    with pytest.raises(InputError, match="map.bmp: expected a complete image"):
        read_id_map(path)


def test_colours_of_bmp(tmp_path):
    rgb, path = numbers("u1", (*SHAPE, 3)), tmp_path / "map.bmp"
    PIL.Image.fromarray(rgb).save(path)
    assert np.array_equal(read_rgb(path), rgb.transpose(2, 0, 1))
    PIL.Image.fromarray(rgb).convert("RGBA").save(path)
    with pytest.raises(InputError, match="map.bmp: expected three channels .*spare"):
        read_rgb(path)


def chunks(*contents: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in contents
    )


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3)])
def test_png_that_ends_at_the_end_of_a_row(tmp_path, color, channels, interlaced):
    """Pillow says nothing, and rows that are missing become 0."""
    png = pytest.importorskip("png")
    height, width = SHAPE
    path, file = tmp_path / "map.png", io.BytesIO()
    values = np.random.default_rng(0).integers(1, 256, height * width * channels)
    png.Writer(width, height, greyscale=channels == 1, interlace=interlaced).write_array(
        file, values.tolist()
    )
    file.seek(0)
    pieces = list(png.Reader(file=file).chunks())
    rows = zlib.decompress(b"".join(data for kind, data in pieces if kind == b"IDAT"))
    read = read_id_map if channels == 1 else read_rgb_ids
    for missing in (0, 1, width * channels + 1, 3 * (width * channels + 1), len(rows) - 1):
        pixels = zlib.compress(rows[: len(rows) - missing])
        path.write_bytes(chunks(pieces[0], (b"IDAT", pixels), (b"IEND", b"")))
        if missing == 0:
            read(path)
            continue
        with pytest.raises(InputError, match="map.png: expected a complete image"):
            read(path)


def test_png_whose_last_row_is_zero_is_whole(tmp_path):
    ids = numbers("u1")
    ids[-3:] = 0
    PIL.Image.fromarray(ids).save(tmp_path / "map.png")
    assert np.array_equal(read_id_map(tmp_path / "map.png"), ids)


@pytest.mark.parametrize("codec", [None, "zlib"])
def test_tiff_without_some_strips(tmp_path, codec):
    tifffile = pytest.importorskip("tifffile")
    ids, path = numbers("u1") | 1, tmp_path / "map.tif"

    def change(tag: int, place: int, value: int) -> None:
        tifffile.imwrite(path, ids, rowsperstrip=8, compression=codec, photometric="minisblack")
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            entry = tiff.pages[0].tags[tag]
            values = list(entry.value) if isinstance(entry.value, tuple) else [entry.value]
            values[place] = value
            entry.overwrite(values if len(values) > 1 else values[0])

    for tag, place, value in (
        (273, 2, 0),  # sparse: no place
        (279, 2, 0),  # sparse: no bytes
        (273, 4, 10**6),  # behind the end
        (278, 0, 4),  # more strips than there are
        (257, 0, 48),  # more rows than there are
    ):
        change(tag, place, value)
        with pytest.raises(InputError, match="map.tif: expected a complete image"):
            read_id_map(path)
    change(278, 0, 8)
    assert np.array_equal(read_id_map(path), ids)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path, orientation):
    """A photo is turned upright; a map that is not so is refused."""
    tifffile = pytest.importorskip("tifffile")
    rgb, path = numbers("u1", (*SHAPE, 3)), tmp_path / "map.tif"
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, rgb, photometric="rgb", extratags=tag)
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(rgb).save(tmp_path / "photo.png", exif=exif)
    upright = [rgb, rgb[:, ::-1], rgb[::-1, ::-1], rgb[::-1]]
    upright += [x.transpose(1, 0, 2) for x in (rgb, rgb[::-1], rgb[::-1, ::-1], rgb[:, ::-1])]
    expected = upright[orientation - 1].transpose(2, 0, 1)
    for photo in (path, tmp_path / "photo.png"):
        assert np.array_equal(read_photo(photo, expected.shape[1:]), expected)
    if orientation > 1:
        with pytest.raises(InputError, match=f"map.tif: .*, orientation {orientation}.*not read"):
            read_rgb_ids(path)


def test_photos_of_16_bits_are_scaled(tmp_path):
    tifffile, png = pytest.importorskip("tifffile"), pytest.importorskip("png")
    levels = numbers("u2")
    expected = (levels >> 8).astype(np.uint8)
    png.from_array(levels, "L;16").save(tmp_path / "grey.png")
    png.from_array(np.repeat(levels, 3, 1), "RGB;16").save(tmp_path / "rgb.png")
    tifffile.imwrite(tmp_path / "grey.tif", levels, photometric="minisblack")
    tifffile.imwrite(tmp_path / "rgb.tif", np.stack([levels] * 3, 2), photometric="rgb")
    for name in ("grey.png", "rgb.png", "grey.tif", "rgb.tif"):
        assert np.array_equal(read_photo(tmp_path / name, SHAPE), np.stack([expected] * 3)), name
    for odd in (levels.astype(np.float32), levels.astype(np.int32)):
        tifffile.imwrite(tmp_path / "odd.tif", odd, photometric="minisblack")
        with pytest.raises(InputError, match="odd.tif: expected a photo of 8 or 16 bits"):
            read_photo(tmp_path / "odd.tif", SHAPE)


def test_the_table_names_each_kind_once():
    assert len(set(KINDS)) == len(KINDS)
    assert {c for kind in KINDS for c in kind.compressions} == {"", *LOSSLESS}

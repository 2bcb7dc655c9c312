"""Reading and writing of id maps: pixels stay the numbers that they are."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from pps_torch.io import image_codecs, image_files, png_rows
from pps_torch.io.errors import InputError
from pps_torch.io.image_files import count_channels, read_size
from pps_torch.io.images import (
    read_id_map,
    read_photo,
    read_rgb,
    read_rgb_ids,
    write_id_map,
    write_rgb,
    write_rgb_ids,
)

IDS = np.array([[0, 1, 2], [200, 254, 255]], np.uint8)


@pytest.fixture(params=["compiled", "Pillow"], autouse=True)
def decoder(request, monkeypatch):
    """Both decoders of PNGs read the same and refuse the same."""
    if request.param == "Pillow":
        monkeypatch.setattr(png_rows, "compiled", None)
    elif not png_rows.is_compiled():
        pytest.skip("pps_torch.compiled is not built")
    return request.param


def png(width: int, height: int, depth: int, color_type: int, rows: list[bytes]) -> bytes:
    """A PNG made by hand: Pillow does not write every kind that it reads."""

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return chunks((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))


def chunks(*parts: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, each with a right checksum."""
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        content += struct.pack(">I", len(data)) + kind + data + checksum
    return content


def tiff(width: int, bits: int, photometric: int, row: bytes, order: str = ">", **more) -> bytes:
    """A TIFF of one row made by hand, with more tags of 16 bits as `t<number>`."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: 1, 279: 0}
    tags |= {int(name[1:]): value for name, value in more.items()}
    tags[273], tags[279] = 8 + 2 + 12 * len(tags) + 4, len(row)
    entries = b"".join(
        struct.pack(order + "HHII", tag, 4, 1, value)
        if tag in (273, 279)
        else struct.pack(order + "HHIHH", tag, 3, 1, value, 0)
        for tag, value in sorted(tags.items())
    )
    mark = b"MM" if order == ">" else b"II"
    header = struct.pack(order + "2sHIH", mark, 42, 8, len(tags))
    return header + entries + struct.pack(order + "I", 0) + row


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("grey.png", IDS),
        ("grey.bmp", IDS),
        ("16_bits.png", np.array([[0, 255], [256, 65535]], np.uint16)),
        ("16_bits.tif", np.array([[0, 255], [256, 65535]], np.uint16)),
        ("32_bits.tif", np.array([[-1, 0], [2600101, 2**31 - 1]], np.int32)),
        ("1_bit.png", np.array([[True, False], [False, True]])),
        ("one_pixel.png", np.array([[7]], np.uint8)),
    ],
)
def test_one_channel_is_read_as_it_is(tmp_path, name, ids):
    PIL.Image.fromarray(ids).save(tmp_path / name)
    read = read_id_map(tmp_path / name, ids.shape)
    assert np.array_equal(read, ids) and read.flags.writeable
    assert read.dtype == (np.uint8 if ids.dtype.itemsize == 1 else np.int32)


def test_palette_gives_indices_and_not_colours(tmp_path):
    image = PIL.Image.fromarray(IDS)
    image.putpalette(np.random.default_rng(0).bytes(3 * 256))
    image.save(tmp_path / "map.png", transparency=2)
    assert PIL.Image.open(tmp_path / "map.png").mode == "P"
    assert np.array_equal(read_id_map(tmp_path / "map.png"), IDS)


def test_big_endian_tiff(tmp_path):
    (tmp_path / "map.tif").write_bytes(tiff(2, 16, 1, struct.pack(">HH", 7, 65535)))
    assert read_id_map(tmp_path / "map.tif").tolist() == [[7, 65535]]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (png(4, 1, 2, 0, [b"\x1b"]), r"one channel of 2 bits \(PNG\)"),
        (png(2, 1, 4, 0, [b"\x07"]), r"one channel of 4 bits \(PNG\)"),
        (tiff(2, 4, 1, b"\x07"), r"one channel of 4 bits \(TIFF, big-endian, compression none\)"),
        (tiff(4, 2, 0, b"\x1b"), "2 bits .*, inverted levels.*"),
        (tiff(2, 8, 0, b"\x00\x07"), "8 bits .*, inverted levels.*"),
        (tiff(8, 1, 0, b"\x0f"), "1 bit .*, inverted levels.*"),
    ],
)
@pytest.mark.parametrize("read", [read_id_map, count_channels])
def test_levels_that_pillow_scales_or_inverts_are_refused(tmp_path, read, content, found):
    (tmp_path / "map").write_bytes(content)
    with pytest.raises(InputError, match=f"map: expected one channel .*{found}, which is not read"):
        read(tmp_path / "map")


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (png(4, 1, 2, 3, [b"\x1b"]), [0, 1, 2, 3]),  # a palette's indices are not scaled
        (png(8, 1, 1, 0, [b"\x0f"]), [0] * 4 + [1] * 4),
        (tiff(8, 1, 1, b"\x0f"), [0] * 4 + [1] * 4),
        (tiff(2, 8, 1, b"\x00\x07"), [0, 7]),
    ],
)
def test_few_bits_that_stay_as_they_are(tmp_path, content, ids):
    (tmp_path / "map").write_bytes(content)
    assert read_id_map(tmp_path / "map").tolist() == [ids]


@pytest.mark.parametrize("sample_format", [{}, {"t339": 1}])
def test_unsigned_numbers_that_do_not_fit_are_refused(tmp_path, sample_format):
    path = tmp_path / "map.tif"
    for highest in (2**31 - 1, 2**31 + 5):
        row = struct.pack("<II", 7, highest)
        path.write_bytes(tiff(2, 32, 1, row, "<", **sample_format))
        if highest < 2**31:
            assert read_id_map(path).tolist() == [[7, highest]]
    with pytest.raises(InputError, match=r"map.tif: expected ids below 2\*\*31, found 2147483653"):
        read_id_map(path)


def test_rgb_ids_round_trip(tmp_path):
    ids = np.array([[0, 1, 255], [256, 65536, 2**24 - 1]], np.int32)
    write_rgb_ids(tmp_path / "ids.png", ids)
    assert PIL.Image.open(tmp_path / "ids.png").mode == "RGB"
    assert np.array_equal(read_rgb_ids(tmp_path / "ids.png"), ids)
    assert PIL.Image.open(tmp_path / "ids.png").getpixel((0, 1)) == (0, 1, 0)


def test_pps_round_trip(tmp_path):
    pps = np.random.default_rng(0).integers(0, 256, (3, 5, 7)).astype(np.uint8)
    write_rgb(tmp_path / "pps.png", pps)
    assert np.array_equal(np.array(PIL.Image.open(tmp_path / "pps.png")), np.moveaxis(pps, 0, 2))
    assert np.array_equal(read_rgb(tmp_path / "pps.png", (5, 7)), pps)


def test_paths_may_be_texts(tmp_path):
    path = str(tmp_path / "map.png")
    for write, read in ((write_id_map, read_id_map), (write_rgb_ids, read_rgb_ids)):
        write(path, IDS)
        assert np.array_equal(read(path), IDS)
    write_rgb(path, np.stack([IDS, IDS, IDS]))
    assert np.array_equal(read_rgb(path), read_photo(path, IDS.shape))


def test_id_map_round_trip(tmp_path):
    write_id_map(tmp_path / "map.png", IDS)
    write_id_map(tmp_path / "map.tif", IDS.astype(np.int32) * 10_000)
    assert np.array_equal(read_id_map(tmp_path / "map.png"), IDS)
    assert np.array_equal(read_id_map(tmp_path / "map.tif"), IDS.astype(np.int32) * 10_000)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_ids_of_any_integer_dtype_are_written_where_they_fit(tmp_path, dtype):
    for name in ("map.png", "map.tif", "map.TIFF"):
        write_id_map(tmp_path / name, IDS.astype(dtype))
        assert np.array_equal(read_id_map(tmp_path / name), IDS)
    write_rgb_ids(tmp_path / "ids.png", IDS.astype(dtype))
    assert np.array_equal(read_rgb_ids(tmp_path / "ids.png"), IDS)
    write_id_map(tmp_path / "ends.tif", np.array([[2**31 - 1, -(2**31)]]))
    assert read_id_map(tmp_path / "ends.tif").tolist() == [[2**31 - 1, -(2**31)]]


@pytest.mark.parametrize(
    ("write", "name", "ids", "message"),
    [
        (write_rgb_ids, "a.png", [[5, 2**24]], "^ids: expected 0 to 16777215, found 5 to 16777216"),
        (write_rgb_ids, "a.png", [[-1]], "^ids: expected 0 to 16777215, found -1 to -1"),
        (write_rgb_ids, "a.png", [[0.5]], "^ids: expected integers, found float64"),
        (write_id_map, "a.png", [[0, 256]], "^ids: expected 0 to 255, found 0 to 256"),
        (write_id_map, "a.png", [[True]], "^ids: expected integers, found bool"),
        (write_id_map, "a.tif", [[2**31]], "^ids: expected -2147483648 to 2147483647, found"),
        (write_id_map, "a.tif", [[0.0]], "^ids: expected integers, found float64"),
        (write_id_map, "a.jpg", [[0]], r"a.jpg: expected a name that ends with .png, .tif or"),
        (write_rgb, "a.png", [[[256]]] * 3, "^channels: expected uint8, found int64"),
    ],
)
def test_what_a_file_does_not_hold_is_not_written(tmp_path, write, name, ids, message):
    with pytest.raises((TypeError, ValueError), match=message):
        write(tmp_path / name, np.array(ids))
    assert not (tmp_path / name).exists()
    with pytest.raises(TypeError, match="^pixels: expected uint8 or uint16, found int64"):
        image_codecs.encode_png(np.zeros((2, 3), np.int64))


@pytest.mark.parametrize(("num_colors", "color_type"), [(1, 3), (256, 3), (257, 2)])
def test_a_picture_of_few_colors_has_a_palette(tmp_path, num_colors, color_type):
    numbers = np.arange(300).repeat(2).reshape(20, 30) % num_colors
    pixels = np.stack([numbers % 16, numbers // 16, 255 - numbers // 2], 2).astype(np.uint8)
    content = image_codecs.encode_picture(pixels)
    assert content[25] == color_type
    (tmp_path / "a.png").write_bytes(content)
    assert np.array_equal(read_photo(tmp_path / "a.png", (20, 30)).transpose(1, 2, 0), pixels)


def rgb(channels, height=2, width=3):
    return PIL.Image.fromarray(np.zeros((height, width, channels), np.uint8).squeeze())


@pytest.mark.parametrize(
    ("read", "image", "found"),
    [
        (read_id_map, rgb(3), r"one channel of ids, found three channels \(RGB\)"),
        (read_id_map, rgb(4), "alpha"),
        (read_id_map, rgb(2), "alpha"),
        (read_id_map, PIL.Image.new("F", (3, 2)), "floating point"),
        (read_rgb_ids, rgb(2), r"three channels of 8 bits \(RGB\), or grey levels .*, found"),
        (read_rgb_ids, rgb(4), "alpha"),
        (read_rgb_ids, PIL.Image.new("P", (3, 2)), "palette"),
        (read_rgb, rgb(1), "found one channel"),
        (read_rgb, rgb(2), "alpha"),
        (read_rgb, PIL.Image.new("I;16", (3, 2)), "16 bits"),
    ],
)
def test_other_channels_are_refused(tmp_path, read, image, found):
    path = tmp_path / "map.tif"
    image.save(path)
    with pytest.raises(InputError, match=f"map.tif: expected .*{found}"):
        read(path)


def test_grey_levels_are_segment_ids(tmp_path):
    """As TAPPS writes panoptic predictions."""
    many = np.tile(IDS, (1, 3))  # more columns than an image has channels
    for name, ids in (("bytes.png", many), ("words.png", many.astype(np.uint16) * 100)):
        PIL.Image.fromarray(ids).save(tmp_path / name)
        found = read_rgb_ids(tmp_path / name)
        assert found.dtype == np.int32 and np.array_equal(found, ids)


def test_16_bits_a_channel_are_refused(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(png(2, 1, 16, 2, [bytes(range(12))]))
    for read in (read_rgb_ids, read_rgb):
        with pytest.raises(
            InputError, match="deep.png: expected .* of 8 bits .*, found .* 16 bits"
        ):
            read(path)


@pytest.mark.parametrize("read", [read_id_map, read_rgb_ids, read_rgb])
def test_other_size_is_refused(tmp_path, read):
    path = tmp_path / "map.png"
    rgb(1 if read is read_id_map else 3).save(path)
    with pytest.raises(InputError, match="map.png: expected height x width 3 x 2, found 2 x 3"):
        read(path, (3, 2))


@pytest.mark.parametrize("name", ["map.png", "map.tif"])
def test_truncated_file(tmp_path, name):
    ids = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    PIL.Image.fromarray(ids).save(tmp_path / "whole.png")
    PIL.Image.fromarray(ids).save(tmp_path / "whole.tif", compression="tiff_adobe_deflate")
    content = (tmp_path / name.replace("map", "whole")).read_bytes()
    for kept in range(0, len(content) - 20, 97):
        (tmp_path / name).write_bytes(content[:kept])
        with pytest.raises(InputError, match=name):
            read_id_map(tmp_path / name)


def test_damaged_file(tmp_path):
    ids = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    PIL.Image.fromarray(ids).save(tmp_path / "map.png")
    content = bytearray((tmp_path / "map.png").read_bytes())
    content[600:640] = bytes(40)
    (tmp_path / "map.png").write_bytes(content)
    with pytest.raises(InputError, match="map.png: expected a complete image"):
        read_id_map(tmp_path / "map.png")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        (b"", "an empty file"),
        (b"hello", "no image format"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    ],
)
def test_no_image(tmp_path, content, found):
    if content is not None:
        (tmp_path / "map.png").write_bytes(content)
    with pytest.raises(InputError, match=f"map.png: expected an image, found {found}"):
        read_id_map(tmp_path / "map.png")


def test_folder_instead_of_a_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read: expected a regular file, found a folder"):
        read_id_map(tmp_path)


def test_decompression_bomb_is_an_error(tmp_path, monkeypatch):
    write_id_map(tmp_path / "map.png", np.zeros((40, 40), np.uint8))
    monkeypatch.setattr(image_files, "MOST_PIXELS", 1599)
    with pytest.raises(
        InputError, match="map.png: expected an image of at most 1599 pixels, found 1600"
    ):
        read_id_map(tmp_path / "map.png")


def test_photo_is_resized_to_the_map(tmp_path):
    PIL.Image.new("L", (10, 6), 100).save(tmp_path / "photo.jpg")
    photo = read_photo(tmp_path / "photo.jpg", (3, 5))
    assert photo.shape == (3, 3, 5) and (abs(photo.astype(int) - 100) < 3).all()


def test_first_bytes_tell_size_and_channels(tmp_path):
    rgb(3, 4, 9).save(tmp_path / "a.png")
    rgb(1, 4, 9).save(tmp_path / "b.png")
    rgb(4, 4, 9).save(tmp_path / "c.png")
    PIL.Image.new("CMYK", (9, 4)).save(tmp_path / "d.tif")
    assert read_size(tmp_path / "a.png") == (4, 9)
    assert count_channels(tmp_path / "a.png") == 3 and count_channels(tmp_path / "b.png") == 1
    assert count_channels(tmp_path / "c.png") == 3
    with pytest.raises(InputError, match="one channel of ids, or three .*, found CMYK"):
        count_channels(tmp_path / "d.tif")


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "raw"])
def test_lossless_tiff_is_read(tmp_path, compression):
    PIL.Image.fromarray(IDS).save(tmp_path / "map.tif", compression=compression)
    assert np.array_equal(read_id_map(tmp_path / "map.tif"), IDS)


def test_lossy_tiff_is_refused(tmp_path):
    PIL.Image.fromarray(IDS).save(tmp_path / "map.tif", compression="jpeg")
    with pytest.raises(InputError, match="map.tif: expected a lossless compression, found JPEG"):
        read_id_map(tmp_path / "map.tif")


def test_format_that_does_not_keep_ids_is_refused_whatever_its_name(tmp_path):
    PIL.Image.fromarray(IDS).save(tmp_path / "map.png", "JPEG")
    with pytest.raises(InputError, match="map.png: expected an image, found a JPEG"):
        read_id_map(tmp_path / "map.png")
    assert read_photo(tmp_path / "map.png", IDS.shape).shape == (3, *IDS.shape)


@pytest.mark.parametrize("place", ["length", "content", "checksum", "end"])
def test_png_with_a_wrong_checksum_is_refused(tmp_path, place):
    ids = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    path = tmp_path / "map.png"
    write_id_map(path, ids)
    content = bytearray(path.read_bytes())
    begin = content.index(b"IDAT")
    end = content.index(b"IEND")
    content[
        {"length": begin - 1, "content": begin + 900, "checksum": end - 5, "end": end}[place]
    ] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="map.png: expected a"):
        read_id_map(path)


@pytest.mark.parametrize("read, color_type", [(read_id_map, 0), (read_rgb_ids, 2), (read_rgb, 2)])
def test_a_png_without_pixels_is_refused(tmp_path, read, color_type):
    whole = png(2, 1, 8, color_type, [bytes(6)])
    without = whole[: whole.index(b"IDAT") - 4] + whole[whole.index(b"IEND") - 4 :]
    (tmp_path / "map.png").write_bytes(without)
    with pytest.raises(InputError, match="map.png: expected"):
        read(tmp_path / "map.png")


SIZE = (40, 50)
HEADER = (b"IHDR", struct.pack(">IIBBBBB", 50, 40, 8, 2, 0, 0, 0))
COLORS = np.random.default_rng(0).integers(1, 256, (*SIZE, 3)).astype(np.uint8)
ROWS = b"".join(b"\0" + row.tobytes() for row in COLORS)
PACKED, END = zlib.compress(ROWS), (b"IEND", b"")


@pytest.mark.parametrize(
    "parts",
    [
        [(b"IDAT", PACKED)],
        [(b"IDAT", PACKED[:99]), (b"IDAT", PACKED[99:])],
        [(b"tEXt", b"a\0b"), (b"IDAT", PACKED), (b"tIME", bytes([7, 208, 1, 1, 0, 0, 0]))],
        [(b"tRNS", COLORS[0, 0].astype(">u2").tobytes()), (b"IDAT", PACKED)],  # of no alpha channel
        [(b"IDAT", PACKED[:-4])],  # the sum of the rows is cut off, the rows are not
        [(b"IDAT", PACKED + b"abc")],
        [(b"IDAT", zlib.compress(ROWS + bytes(1000)))],
    ],
    ids=["one", "two", "texts", "transparent colour", "no sum", "more", "more rows"],
)
def test_pngs_with_peculiarities_are_read(tmp_path, parts):
    (tmp_path / "map.png").write_bytes(chunks(HEADER, *parts, END) + b"behind the end")
    assert np.array_equal(read_rgb(tmp_path / "map.png", SIZE), COLORS.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "parts",
    [
        [(b"IDAT", PACKED[:-1] + bytes([PACKED[-1] ^ 1]))],
        [(b"IDAT", PACKED[:-10])],
        [(b"IDAT", zlib.compress(ROWS[:-1]))],
        [(b"IDAT", zlib.compress(b"\7" + ROWS[1:]))],
        [(b"IDAT", PACKED[:99]), (b"tEXt", b"a\0b"), (b"IDAT", PACKED[99:])],
        [(b"gAMA", b"a"), (b"IDAT", PACKED)],
        [(b"IDAT", b"")],
    ],
    ids=["sum", "cut off", "a byte less", "filter", "torn apart", "gamma", "nothing"],
)
def test_pngs_whose_checksums_are_right_but_not_their_content_are_refused(tmp_path, parts):
    (tmp_path / "map.png").write_bytes(chunks(HEADER, *parts, END))
    with pytest.raises(InputError, match="map.png: expected (a complete|an) image, found"):
        read_rgb(tmp_path / "map.png", SIZE)


@pytest.mark.parametrize("optimize", [False, True])
def test_every_decoder_reads_what_pillow_writes(tmp_path, optimize):
    """All kinds of rows, as Pillow filters them, and none of the size of another."""
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (3, 1), (1, 7), (37, 61), (200, 301)):
        noise = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        steps = (np.arange(height * width * 3).reshape(noise.shape) // 50).astype(np.uint8)
        for colors in (noise, steps):
            PIL.Image.fromarray(colors).save(tmp_path / "rgb.png", optimize=optimize)
            assert np.array_equal(read_rgb(tmp_path / "rgb.png"), colors.transpose(2, 0, 1))
            ids = colors.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
            assert np.array_equal(read_rgb_ids(tmp_path / "rgb.png", (height, width)), ids)
            PIL.Image.fromarray(colors[..., 0]).save(tmp_path / "grey.png", optimize=optimize)
            assert np.array_equal(read_id_map(tmp_path / "grey.png"), colors[..., 0])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (23, 31)])
def test_what_is_written_reads_the_same_with_pillow(tmp_path, size):
    channels = np.random.default_rng(0).integers(0, 256, (3, *size)).astype(np.uint8)
    write_rgb(tmp_path / "rgb.png", channels)
    write_id_map(tmp_path / "grey.png", channels[0])
    ids = np.tensordot([1, 256, 65536], channels, 1)
    write_rgb_ids(tmp_path / "ids.png", ids)
    assert np.array_equal(PIL.Image.open(tmp_path / "rgb.png"), channels.transpose(1, 2, 0))
    assert np.array_equal(PIL.Image.open(tmp_path / "grey.png"), channels[0])
    assert np.array_equal(PIL.Image.open(tmp_path / "ids.png"), channels.transpose(1, 2, 0))
    assert np.array_equal(read_rgb(tmp_path / "rgb.png"), channels)
    assert np.array_equal(read_rgb_ids(tmp_path / "ids.png"), ids)


def test_strips_of_a_map_of_uids_are_read_as_pillow_reads_them(tmp_path):
    path = tmp_path / "uids.tif"
    uids = np.random.default_rng(0).integers(0, 2**31, (301, 97)).astype(np.int32)
    image = PIL.Image.fromarray(uids)
    for more in ({}, {278: 7}, {270: "a description, so that Pillow decodes"}):
        image.save(path, compression="tiff_adobe_deflate", tiffinfo=more)
        assert np.array_equal(read_id_map(path, uids.shape), uids), more
    image.save(path, compression="tiff_adobe_deflate", tiffinfo={278: 301})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="uids.tif: expected a complete image"):
        read_id_map(path, uids.shape)

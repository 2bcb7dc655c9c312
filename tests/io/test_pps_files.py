"""PPS maps in each form: what it holds comes back, the rest names the form that holds it."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pps_torch import decode_uids
from pps_torch.io.errors import InputError
from pps_torch.io.images import read_id_map
from pps_torch.io.pairing import pps_suffixes
from pps_torch.io.pps_files import FORMS, read_pps, read_pps_map, write_pps_map
from pps_torch.io.writers import write_pps

SIZE = (5, 7)


def drawn(*highest: int) -> np.ndarray:
    """(3, H, W) ids up to the highest ones, which occur."""
    rng = np.random.default_rng(0)
    pps = np.stack([rng.integers(1, most + 1, SIZE) for most in highest])
    pps[:, 2, 3] = highest
    return pps


def read(path) -> np.ndarray:
    found = read_pps_map(path, SIZE)
    assert found.dtype in (np.uint8, np.int32)
    return np.moveaxis(found, 2, 0)


@pytest.mark.parametrize(
    ("form", "highest"),
    [
        ("png", (255, 255, 255)),
        ("png16", (65_535, 65_535, 65_535)),
        ("npz", (2**31 - 1, 70_000, 300)),
        ("npz", (3, 4, 5)),
        ("uids", (21_473, 999, 99)),
    ],
)
def test_round_trip(tmp_path, form, highest):
    path, pps = tmp_path / f"map{FORMS[form].suffix}", drawn(*highest)
    pps[0] = np.where(pps[0] == 255, 254, pps[0])  # 255 is void, whose uid is 0
    write_pps(path, torch.from_numpy(pps), form=form)
    assert np.array_equal(read(path), pps)
    found = read_pps(str(path), SIZE)
    assert np.array_equal(found, pps) and found.flags["C_CONTIGUOUS"]
    with pytest.raises(
        InputError, match=f"{path.name}: expected height x width 7 x 5, found 5 x 7"
    ):
        read_pps(path, SIZE[::-1])


def test_a_png_of_16_bits_is_one_for_others_too(tmp_path):
    png = pytest.importorskip("png")
    pps, path = drawn(300, 1000, 7), tmp_path / "map.png"
    write_pps(path, pps, form="png16")
    width, height, rows, info = png.Reader(filename=str(path)).asDirect()
    found = np.stack([*map(np.asarray, rows)]).reshape(height, width, 3)
    assert info["bitdepth"] == 16 and np.array_equal(np.moveaxis(found, 2, 0), pps)
    interlaced = io.BytesIO()
    options = {"greyscale": False, "bitdepth": 16, "interlace": True}
    png.Writer(width, height, **options).write(interlaced, found.reshape(height, -1).tolist())
    path.write_bytes(interlaced.getvalue())
    assert np.array_equal(read(path), pps)


def test_uids_are_those_of_panoptic_parts(tmp_path):
    """Void is 0, a part that is void is absent, and so is instance 0 then."""
    pps = np.array([[[24, 26, 7, 7, 255, 0]], [[3, 12, 0, 0, 0, 4]], [[2, 255, 255, 1, 255, 9]]])
    write_pps_map(tmp_path / "map.tif", pps, "uids")
    uids = read_id_map(tmp_path / "map.tif")
    assert uids.tolist() == [[24_003_02, 26_012, 7, 7_000_01, 0, 0]]
    sids, iids, pids = decode_uids(torch.from_numpy(uids))
    found = np.moveaxis(read_pps_map(tmp_path / "map.tif"), 2, 0)
    assert found[0].tolist() == sids.tolist()
    assert found[1].tolist() == iids.clamp(min=0).tolist() == [[3, 12, 0, 0, 0, 0]]
    assert found[2].tolist() == [[2, 255, 255, 1, 255, 255]]


def test_uids_in_a_png_have_no_parts(tmp_path):
    pps = np.array([[[26, 7, 255]], [[12, 0, 0]], [[255, 1, 255]]])
    path = tmp_path / "map.png"
    write_pps_map(path, pps, "uids_png", whole_ids=[7])
    assert np.asarray(Image.open(path)).tolist() == [[26_012, 7, 0]]
    assert read_pps_map(path).tolist() == [[[26, 12, 255], [7, 0, 255], [0, 0, 255]]]
    with pytest.raises(ValueError, match=r"found some of class 7; form 'uids' holds them"):
        write_pps_map(path, pps, "uids_png")


@pytest.mark.parametrize(
    ("form", "ids", "message"),
    [
        ("png", (256, 1, 1), "scene classes up to 255, .* found 256; form 'png16' holds it"),
        ("png", (7, 300, 1), "instances up to 255, .*form 'png16'"),
        ("png", (7, 1, 70_000), "parts up to 255, .*form 'npz'"),
        ("png16", (7, 70_000, 1), "instances up to 65535, .*form 'npz'"),
        ("npz", (2**31, 1, 1), "scene classes up to 2147483647"),
        ("uids", (21_474, 1, 1), "scene classes up to 21473, .*form 'png16'"),
        ("uids", (7, 1000, 1), "instances up to 999, .*form 'png16'"),
        ("uids", (7, 1, 100), "parts up to 99, .*form 'png'"),
        ("uids", (100, 1, 255), "class 100 without one; form 'png16' holds it"),
        ("uids_png", (65, 1, 255), "scene classes up to 64, .*form 'png'"),
        ("uids_png", (7, 1000, 255), "instances up to 999, .*form 'png16'"),
        ("png", (-1, 1, 1), "pps: expected ids of 0 or more, found -1"),
        ("exr", (1, 1, 1), "form: expected one of .*'npz'.*, found 'exr'"),
    ],
)
def test_what_a_form_does_not_hold_names_one_that_does(tmp_path, form, ids, message):
    suffix = FORMS[form].suffix if form in FORMS else ".exr"
    with pytest.raises(ValueError, match=message):
        write_pps(tmp_path / f"map{suffix}", torch.tensor(ids).view(3, 1, 1), form=form)
    assert not [*tmp_path.iterdir()]


def test_the_ending_is_that_of_the_form(tmp_path):
    for name, form in (("map.png", "npz"), ("map.npz", "uids"), ("map.tif", "png16")):
        with pytest.raises(InputError, match=rf"{name}: expected a name that ends with \."):
            write_pps(tmp_path / name, torch.ones(3, 1, 1, dtype=torch.int32), form=form)
    write_pps(tmp_path / "map.tiff", torch.ones(3, 1, 1, dtype=torch.int32), form="uids")


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zipped(content: bytes, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("pps.npy", content)
    return buffer.getvalue()


def npy(shape: str, ids: bytes = bytes(105), dtype: str = "|u1") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + ids


IDS = np.ones((3, *SIZE), np.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npz(ids=IDS), "expected the array pps, found ids"),
        (
            npz(pps=IDS.astype(float)),
            r"pps: expected integers \(3, H, W\), found float64 \(3, 5, 7",
        ),
        (npz(pps=IDS[0]), r"expected integers \(3, H, W\), found uint8 \(5, 7\)"),
        (
            npz(pps=np.moveaxis(IDS, 0, 2)),
            r"expected integers \(3, H, W\), found uint8 \(5, 7, 3\)",
        ),
        (npz(pps=IDS[:, :4]), "expected height x width 5 x 7, found 4 x 7"),
        (npz(pps=IDS.astype(np.int8) - 2), "expected ids 0 to 2147483647, found -1"),
        (npz(pps=IDS.astype(np.uint64) << 40), "expected ids 0 to 2147483647"),
        (npz(pps=IDS.astype(object)), r"expected integers \(3, H, W\), found object"),
        (npz(pps=IDS)[:-40], "expected a complete NPZ, found it damaged"),
        (b"", "expected a complete NPZ, found it damaged"),
        (zipped(npy("(3, 5, 7)", bytes(104))), "found it damaged: .* has 104 bytes"),
        (zipped(npy("(3, 5, 7)", bytes(106))), "found it damaged: .* has more bytes"),
        (zipped(npy("(3, 1000000, 1000000)")), "at most 178956970 pixels, found 10{12}"),
        (zipped(npy("(3, -5, -7)")), r"expected integers \(3, H, W\), found uint8 \(3, -5, -7\)"),
        (zipped(b"\x93NUMPY\x01\0\xc8\0" + b"(" * 200), "found it damaged"),
        (zipped(b"\x93NUMPY\x01\0\x07\0{[]: 1}"), "found it damaged: .*unhashable"),
        (zipped(npy("(3, 5, 7)").replace(b"'|u1'", b"()   ")), "found it damaged"),
        (zipped(npy("(3, 5, 7)"), compression=zipfile.ZIP_LZMA), "not compressed as NumPy does"),
        (zipped(b"no array"), "found it damaged"),
        (zipped(npy("(3, 5, 7)", b"")), "has 0 bytes"),
    ],
)
def test_other_npz_are_refused(tmp_path, content, message):
    path = tmp_path / "map.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"map.npz: .*{message}"):
        read_pps_map(path, SIZE)


def test_damage_of_any_byte_of_an_npz_is_an_error_or_changes_nothing(tmp_path):
    ids = drawn(300, 4, 5)
    content = npz(pps=ids.astype(np.int32))
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "map.npz").write_bytes(damaged)
        try:
            found = read(tmp_path / "map.npz")
        except InputError:
            continue
        assert np.array_equal(found, ids), place


def test_an_npz_of_another_size_is_not_unpacked(tmp_path):
    (tmp_path / "map.npz").write_bytes(zipped(npy("(3, 4000, 4000)", bytes(48_000_000))))
    tracemalloc.start()
    with pytest.raises(InputError, match="expected height x width 5 x 7, found 4000 x 4000"):
        read_pps_map(tmp_path / "map.npz", SIZE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_an_npz_by_columns_is_read(tmp_path):
    pps = drawn(300, 4, 5)
    np.savez(tmp_path / "map.npz", pps=np.asfortranarray(pps.astype(">i2")))
    assert np.array_equal(read(tmp_path / "map.npz"), pps)


def test_grey_levels_of_8_bits_are_no_uids(tmp_path):
    Image.fromarray(IDS[0]).save(tmp_path / "map.png")
    with pytest.raises(InputError, match="or uids as grey levels of 16 bits, found one .* 8 bits"):
        read_pps_map(tmp_path / "map.png")


def test_damaged_pngs_of_16_bits(tmp_path):
    path = tmp_path / "map.png"
    write_pps(path, torch.from_numpy(drawn(300, 2, 2)), form="png16")
    content = path.read_bytes()
    with pytest.raises(InputError, match="map.png: expected height x width 5 x 8"):
        read_pps_map(path, (5, 8))
    path.write_bytes(content[:-20])
    with pytest.raises(InputError, match="map.png: .*damaged or cut off"):
        read_pps_map(path)


def test_the_checksum_of_compressed_data_of_16_bits_is_looked_at(tmp_path):
    """That of the chunk is right, as of a file that a program has changed and sealed."""
    path = tmp_path / "map.png"
    write_pps(path, torch.from_numpy(drawn(300, 2, 2)), form="png16")
    content = bytearray(path.read_bytes())
    place = content.index(b"IDAT")
    (length,) = struct.unpack(">I", content[place - 4 : place])
    end = place + 4 + length
    content[end - 1] ^= 1
    content[end : end + 4] = struct.pack(">I", zlib.crc32(content[place:end]))
    path.write_bytes(content)
    with pytest.raises(InputError, match="map.png: .*damaged or cut off"):
        read_pps_map(path)


def test_the_form_of_a_folder(tmp_path):
    assert pps_suffixes(tmp_path) == (".png",)
    for name, expected in (
        ("a.tiff", (".tif", ".tiff")),
        ("b.npz", (".npz",)),
        ("c.PNG", (".png",)),
    ):
        (tmp_path / name).touch()
        assert pps_suffixes(tmp_path) == expected

"""PPS maps in files: the forms that hold [scene class, instance, part], read and written.

The usual form is a PNG of 3 x 8 bits. The others hold more classes, instances or parts.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from pps_torch.formats import decode_uids, encode_uids
from pps_torch.io.atomic import write_file
from pps_torch.io.errors import InputError, input_errors_at
from pps_torch.io.image_codecs import encode_png
from pps_torch.io.image_files import (
    PPS_MAPS,
    check_not_too_large,
    check_size,
    opened_image,
    read_content,
)
from pps_torch.io.images import interleaved, read_id_map, read_pixels, write_id_map
from pps_torch.reserved import ABSENT, NO_PART, PPS_VOID

#: The array of an NPZ.
ARRAY = "pps"

#: Of an array in an NPZ; NumPy writes some 120.
_MOST_HEADER_BYTES = 1000

# What zipfile, zlib and NumPy's reader of headers raise for damaged files.
_DAMAGES = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    EOFError,
    IndexError,
    OSError,
    OverflowError,
    TypeError,
    ValueError,
)

_TIFF_SUFFIXES = (".tif", ".tiff")
_LEVELS = ("scene classes", "instances", "parts")
_LARGEST_INT32 = 2**31 - 1


class PPSForm(NamedTuple):
    """A form of a PPS map in a file.

    Attributes:
        suffix: the ending of its files.
        most: the highest scene class, instance and part that it holds.
        description: what it is, for messages.
    """

    suffix: str
    most: tuple[int, int, int]
    description: str


#: By the name in `merge_to_pps --form` and `write_pps(form=...)`. Uids are those of panoptic_parts,
#: of evaluation ids; those of 16 bits have no parts, and of void nothing but that is kept.
FORMS = {
    "png": PPSForm(".png", (255, 255, 255), "a PNG of 3 x 8 bits"),
    "png16": PPSForm(".png", (65_535, 65_535, 65_535), "a PNG of 3 x 16 bits"),
    "npz": PPSForm(".npz", (_LARGEST_INT32,) * 3, "an NPZ"),
    "uids": PPSForm(".tif", (21_473, 999, 99), "a TIFF of uids"),
    "uids_png": PPSForm(".png", (64, 999, 0), "a PNG of uids"),
}


def check_form(form: str) -> PPSForm:
    """Find a form by its name; ValueError for another name."""
    if form not in FORMS:
        raise ValueError(f"form: expected one of {tuple(FORMS)}, found {form!r}")
    return FORMS[form]


def check_level(form: str, level: int, highest: int) -> None:
    """Check that a form holds the ids of a level.

    Args:
        form: its name.
        level: 0 for scene classes, 1 for instances, 2 for parts.
        highest: the highest id.

    Raises:
        ValueError: it does not; it names a form that does.
    """
    most = FORMS[form].most[level]
    if highest > most:
        other = "png" if highest <= 255 else "png16" if highest <= 65_535 else "npz"
        raise ValueError(
            f"expected {_LEVELS[level]} up to {most}, which is what {FORMS[form].description} "
            f"holds (form {form!r}), found {highest}; form {other!r} holds it"
        )


def check_no_parts(sids: Collection[int] | np.ndarray) -> None:
    """Check that no class has a part in a PNG of uids; ValueError names the form that has them."""
    if len(sids):
        raise ValueError(
            f"expected no parts, which {FORMS['uids_png'].description} does not hold (form "
            f"'uids_png'), found some of class {next(iter(sids))}; form 'uids' holds them"
        )


def read_pps_map(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a PPS map in any of the forms: scene class, instance and part of each pixel.

    - `.png`: three channels of 8 or 16 bits, or uids as grey levels of 16 bits
    - `.npz`: the array `pps`, `(3, H, W)` of any integer dtype, stored or deflated as NumPy does
    - `.tif`, `.tiff`: uids

    A uid without instance has instance 0, one without part the part 255, which is void.

    Args:
        path: the file.
        size: the (height, width) that it must have.

    Returns:
        (H, W, 3) uint8 or int32.

    Raises:
        InputError: missing, damaged, of another form or size, or ids that mean nothing.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _read_npz(path, size)
    if suffix in _TIFF_SUFFIXES:
        return _levels_of_uids(path, read_id_map(path, size))
    header, pixels = read_pixels(path, PPS_MAPS, size)
    if pixels.ndim == 3:
        return pixels[..., :3] if pixels.dtype == np.uint8 else pixels.astype(np.int32)
    if header.bits != 16:
        raise InputError(f"{path}: expected {PPS_MAPS.description}, found {header}")
    return _levels_of_uids(path, pixels.astype(np.int32))


def read_pps(path: Path | str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a PPS map in any of the forms of [`write_pps`][pps_torch.io.writers.write_pps].

    Arguments and errors are those of [`read_pps_map`][pps_torch.io.pps_files.read_pps_map].

    Returns:
        (3, H, W) uint8 or int32: scene class, instance, part; `write_pps` takes it as it is.
    """
    return np.ascontiguousarray(np.moveaxis(read_pps_map(Path(path), size), 2, 0))


def write_pps_map(
    path: Path,
    pps: np.ndarray,
    form: str,
    *,
    void_ids: Collection[int] = (0, PPS_VOID),
    void_part: int = PPS_VOID,
    whole_ids: Sequence[int] = (),
) -> None:
    """Write a PPS map in one step.

    Args:
        path: the file, with the ending of the form.
        pps: (3, H, W) integers: scene class, instance, part.
        form: a name in `FORMS`.
        void_ids: scene classes that are void; in a form of uids they are 0.
        void_part: a part that is void, beside 255; uids then have none.
        whole_ids: classes without parts, which get no part in a PNG of uids.

    Raises:
        TypeError, ValueError: another dtype, or ids that the form does not hold; it names one that
            does.
        InputError: another ending, or the file cannot be written.
    """
    expected = check_form(form).suffix
    if path.suffix.lower() != expected and not {path.suffix.lower(), expected} <= {*_TIFF_SUFFIXES}:
        raise InputError(f"{path}: expected a name that ends with {expected} for form {form!r}")
    if pps.dtype.kind not in "iu":
        raise TypeError(f"pps: expected integers, found {pps.dtype}")
    if pps.size and pps.min() < 0:
        raise ValueError(f"pps: expected ids of 0 or more, found {pps.min()}")
    if form.startswith("uids"):
        uids = _uids_of_levels(pps.astype(np.int64), form, void_ids, void_part, whole_ids)
        if form == "uids":
            write_id_map(path, uids)
        else:
            write_file(path, encode_png(uids.astype(np.uint16)))
        return
    for level, ids in enumerate(pps):
        _check_levels(form, level, ids)
    if form == "npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, pps=pps.astype(_smallest_dtype(pps)))
        write_file(path, buffer.getvalue())
    else:
        dtype = np.uint8 if form == "png" else np.uint16
        write_file(path, encode_png(interleaved(pps, dtype)))


def _check_levels(form: str, level: int, ids: np.ndarray) -> None:
    try:
        check_level(form, level, int(ids.max(initial=0)))
    except ValueError as error:
        raise ValueError(f"pps: {error}") from error


def _smallest_dtype(ids: np.ndarray) -> np.dtype:
    return np.min_scalar_type(int(ids.max(initial=0)))


def _levels_of_uids(path: Path, uids: np.ndarray) -> np.ndarray:
    with input_errors_at(str(path)):
        sids, iids, pids = decode_uids(torch.from_numpy(uids), validate=True)
    iids, pids = iids.clamp_(min=0), torch.where(pids == ABSENT, PPS_VOID, pids)
    return torch.stack([sids, iids, pids], -1).numpy()


def _uids_of_levels(
    pps: np.ndarray,
    form: str,
    void_ids: Collection[int],
    void_part: int,
    whole_ids: Sequence[int],
) -> np.ndarray:
    """The uids `(H, W)` int64 of levels `(3, H, W)`."""
    sids, iids, pids = pps
    is_void = np.isin(sids, [*void_ids])
    has_no_part = (pids == void_part) | (pids == PPS_VOID)
    if form == "uids_png":
        has_no_part |= np.isin(sids, [*whole_ids]) & (pids == NO_PART)
    _check_levels(form, 0, np.where(is_void, 0, sids))
    _check_levels(form, 1, np.where(is_void, 0, iids))
    if form == "uids_png":
        check_no_parts(sids[~is_void & ~has_no_part])
    _check_levels(form, 2, np.where(is_void | has_no_part, 0, pids))
    if (is_long := (sids > 99) & has_no_part & ~is_void).any():
        raise ValueError(
            f"pps: expected parts in all pixels of classes above 99, as uids need (form {form!r}), "
            f"found class {sids[is_long][0]} without one; form 'png16' holds it"
        )
    levels = (
        np.where(is_void, 0, sids),
        np.where(is_void | (has_no_part & (iids == 0)), ABSENT, iids),
        np.where(is_void | has_no_part, ABSENT, pids),
    )
    return encode_uids(*map(torch.from_numpy, levels), validate=True).numpy()


def _read_npz(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    with opened_image(path) as file:
        content = read_content(path, file)
    try:
        pps = _read_array(path, content, size)
    except InputError:
        raise
    except _DAMAGES as error:
        raise InputError(f"{path}: expected a complete NPZ, found it damaged: {error}") from error
    except (NotImplementedError, RuntimeError) as error:  # of another version, encrypted
        raise InputError(f"{path}: expected an NPZ, found that it is not read: {error}") from error
    lowest, highest = int(pps.min()), int(pps.max())
    if lowest < 0 or highest > _LARGEST_INT32:
        found = f"{lowest} to {highest}"
        raise InputError(f"{path}: {ARRAY}: expected ids 0 to {_LARGEST_INT32}, found {found}")
    return np.ascontiguousarray(np.moveaxis(pps, 0, -1), np.int32)


def _read_array(path: Path, content: bytes, size: tuple[int, int] | None) -> np.ndarray:
    """The array of an NPZ; its size is checked before its ids are unpacked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names, member = archive.namelist(), f"{ARRAY}.npy"
        if member not in names:
            found = ", ".join(name.removesuffix(".npy")[:40] for name in names[:5]) or "none"
            raise InputError(f"{path}: expected the array {ARRAY}, found {found}")
        if archive.getinfo(member).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotImplementedError(f"{member} is not compressed as NumPy does")
        with archive.open(member) as array:
            shape, by_columns, dtype = _read_array_header(array)
            if dtype.kind not in "iu" or len(shape) != 3 or shape[0] != 3 or min(shape) < 1:
                found = f"{dtype} {shape}"
                raise InputError(f"{path}: {ARRAY}: expected integers (3, H, W), found {found}")
            check_not_too_large(path, shape[1:])
            if size is not None:
                check_size(path, shape[1:], size)
            num_bytes = math.prod(shape) * dtype.itemsize
            ids = array.read(num_bytes + 1)  # its end, where the checksum is looked at, too
    if len(ids) != num_bytes:
        found = "more" if len(ids) > num_bytes else f"{len(ids)}"
        raise ValueError(f"{member} has {found} bytes of {dtype} {shape}")
    return np.frombuffer(ids, dtype).reshape(shape, order="F" if by_columns else "C")


def _read_array_header(array: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    readers: dict[tuple[int, int], Callable[..., tuple[Any, bool, np.dtype[Any]]]]
    readers = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}
    version = read_magic(array)  # type: ignore[no-untyped-call]
    if version not in readers:
        raise ValueError(f"an array of version {version}")
    shape, by_columns, dtype = readers[version](array, max_header_size=_MOST_HEADER_BYTES)
    return tuple(map(int, shape)), by_columns, dtype

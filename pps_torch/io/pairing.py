"""Which file belongs to which image: its name contains the image id as a whole name part."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from pps_torch.io.errors import InputError
from pps_torch.io.file_names import check_folder, is_inside

#: Formats that keep ids as they are; a JPEG does not.
ID_MAP_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")

#: The data sets' maps of uids; those with parts need 32 bits.
GROUND_TRUTH_SUFFIXES = (".tif", ".tiff")

#: What maps of uids are, in a folder without any TIFF; a PNG has up to 16 bits.
_OTHER_GROUND_TRUTH_SUFFIXES = (".png",)

#: What PPS maps are: the first of these of which a folder has any.
_PPS_SUFFIXES: tuple[tuple[str, ...], ...] = ((".png",), (".npz",), GROUND_TRUTH_SUFFIXES)

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")

_CITYSCAPES_ENDING = "_gtFinePanopticParts"
_MOST_LISTED = 20


def find_files(
    folder: Path | str,
    image_ids: Iterable[str],
    suffixes: Sequence[str],
    what: str,
    output: Path | str | None = None,
) -> dict[str, Path]:
    """Find the one file of each image in a folder and the folders below.

    A name part is a stretch of letters and digits, or several with what stands between them:
    `aachen_000012_000019_parts.png` belongs to image `aachen_000012_000019`, `000042.png`
    to image 42 (leading zeros of a number do not count), `420.png` does not. Hidden files and
    folders are not looked at. The time grows with the files plus the images, not their product.

    Args:
        folder: where to look.
        image_ids: normalised ids ([`normalise_id`][pps_torch.io.image_list.normalise_id]).
        suffixes: endings of the files to consider, in lower case.
        what: what a file holds, for messages, e.g. "part prediction".
        output: a folder in which nothing is looked for, that of the results.

    Raises:
        InputError: one error that lists each image with no file, several files, or another
            image's file.
    """
    folder = Path(folder)
    check_folder(folder, f"the folder with the files of {what}")
    image_of_name: dict[str, str] = {}
    for image_id in image_ids:
        other = image_of_name.setdefault(_without_leading_zeros(_trim(image_id)), image_id)
        if other != image_id:
            raise InputError(
                f"{folder}: expected one file of {what} for each image, found that no file name "
                f"can tell the image ids {other} and {image_id} apart"
            )
    files: dict[str, list[Path]] = {image_id: [] for image_id in image_of_name.values()}
    images: dict[Path, list[str]] = defaultdict(list)
    for name, path in _named(folder, suffixes, image_of_name.keys(), output):
        files[image_of_name[name]].append(path)
        images[path].append(image_of_name[name])

    problems = [
        f"image {image_id}: {_file_names(folder, paths)}"
        for image_id, paths in files.items()
        if len(paths) != 1
    ]
    problems += [
        f"{path.relative_to(folder)}: the file of images {', '.join(sorted(owners))}"
        for path, owners in images.items()
        if len(owners) > 1
    ]
    if problems:
        raise InputError(
            f"{folder}: expected one file of {what} ({' '.join(suffixes)}) for each of "
            f"{len(files)} images, with the image id in its name; {_listing(problems)}"
        )
    return {image_id: paths[0] for image_id, paths in files.items()}


def find_photos(
    folder: Path | str, maps: Sequence[Path], output: Path | str | None = None
) -> dict[Path, Path]:
    """Find the photo of each map; what follows the last number of a name does not count.

    `aachen_000012_000019_gtFinePanopticParts.tif` has the photo
    `aachen_000012_000019_leftImg8bit.png`; `street_a_pps.png` has `street_a.jpg`.

    Raises:
        InputError: one error that lists each map with no photo or several.
    """
    folder = Path(folder)
    check_folder(folder, "the folder with the files of photos")
    photos: dict[str, set[Path]] = defaultdict(set)
    for path in list_files(folder, PHOTO_SUFFIXES, output):
        pieces, last_number = _pieces(path.stem)
        photos["".join(pieces)].add(path)
        photos["".join(pieces[:last_number] or pieces)].add(path)
    found = {}
    for path in maps:
        pieces, last_number = _pieces(path.stem)
        beginnings = [
            "".join(pieces[:end]) for end in range(len(pieces), max(last_number, 1) - 1, -2)
        ]
        names = [name for name in beginnings if name in photos]
        found[path] = sorted(photos[names[0]]) if names else []
    problems = [
        f"map {path.name}: {_file_names(folder, paths)}"
        for path, paths in found.items()
        if len(paths) != 1
    ]
    if problems:
        raise InputError(f"{folder}: expected one photo for each map; {_listing(problems)}")
    return {path: paths[0] for path, paths in found.items()}


def list_files(
    folder: Path, suffixes: Sequence[str], output: Path | str | None = None
) -> list[Path]:
    """List the files below a folder with these endings, in a fixed order, without hidden ones.

    Those in the folder `output` are left out, unless it is the same or above.

    Raises:
        InputError: a folder below it cannot be read, or has such an ending itself.
    """
    paths = _visible_files(folder, suffixes, output)
    return [path for path in paths if path.suffix.lower() in suffixes]


def ground_truth_suffixes(folder: Path | str) -> tuple[str, ...]:
    """The endings of the maps of uids in a folder: TIFFs, or PNGs where it has no TIFF.

    Raises:
        InputError: the folder is missing or cannot be read.
    """
    folder = Path(folder)
    check_folder(folder, "the folder of the ground truth")
    has_tiffs = bool(list_files(folder, GROUND_TRUTH_SUFFIXES))
    return GROUND_TRUTH_SUFFIXES if has_tiffs else _OTHER_GROUND_TRUTH_SUFFIXES


def pps_suffixes(folder: Path | str) -> tuple[str, ...]:
    """The endings of the PPS maps in a folder: PNGs; NPZ where it has no PNG; else TIFFs of uids.

    Raises:
        InputError: the folder is missing or cannot be read.
    """
    folder = Path(folder)
    check_folder(folder, "the folder of the PPS predictions")
    found = {path.suffix.lower() for path in list_files(folder, sum(_PPS_SUFFIXES, ()))}
    return next((s for s in _PPS_SUFFIXES if found & {*s}), _PPS_SUFFIXES[0])


def refuse_preferred_maps(paths: Iterable[Path]) -> None:
    """Raise InputError if a PPS map has beside it one of an ending that is read in its place.

    Args:
        paths: the maps that will be written, see `pps_suffixes`.
    """
    for path in paths:
        for suffix in sum(_PPS_SUFFIXES, ()):
            if suffix == path.suffix:
                break
            if os.path.lexists(other := path.with_suffix(suffix)):
                raise InputError(
                    f"{other}: expected no such file beside {path.name}, as it would be read in "
                    "its place, found one; use another folder for the output, or delete it"
                )


def ground_truth_files(folder: Path) -> list[Path]:
    """List the maps of uids below a folder, TIFFs or, where there are none, PNGs.

    Raises:
        InputError: there are none.
    """
    maps = list_files(folder, ground_truth_suffixes(folder))
    if not maps:
        endings = " ".join(GROUND_TRUTH_SUFFIXES + _OTHER_GROUND_TRUTH_SUFFIXES)
        raise InputError(f"{folder}: expected ground-truth files ({endings}), found none")
    return maps


def cityscapes_id(tiff: Path) -> str:
    """Read the image id in the name of a TIFF of Cityscapes-PanopticParts."""
    if not _has_cityscapes_name(tiff):
        raise InputError(f"{tiff}: expected a name that ends in {_CITYSCAPES_ENDING}{tiff.suffix}")
    return tiff.stem.removesuffix(_CITYSCAPES_ENDING)


def pascal_id(tiff: Path) -> str:
    """Read the image id in the name of a TIFF of PASCAL-PanopticParts."""
    if _has_cityscapes_name(tiff):
        raise InputError(
            f"{tiff}: expected a name of PASCAL-PanopticParts, found Cityscapes' ending "
            f"{_CITYSCAPES_ENDING}"
        )
    return tiff.stem


def _has_cityscapes_name(tiff: Path) -> bool:
    return tiff.stem.endswith(_CITYSCAPES_ENDING)


def _named(
    folder: Path, suffixes: Sequence[str], names: Collection[str], output: Path | str | None
) -> Iterator[tuple[str, Path]]:
    """Yield each file with each of the image names that its own name contains."""
    most_parts = max((len(_split(name)[::2]) for name in names), default=0)
    for path in list_files(folder, suffixes, output):
        for name in sorted(_name_parts(path.stem, most_parts)):
            if name in names:
                yield name, path


def _visible_files(
    folder: Path, suffixes: Sequence[str], output: Path | str | None
) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden; linked folders are walked once."""
    walked = set()
    if output is not None and not is_inside(folder, output):
        walked.add(os.path.realpath(output))
    for root, subfolders, names in os.walk(folder, onerror=_refuse_unreadable, followlinks=True):
        real = os.path.realpath(root)
        if real in walked:
            subfolders.clear()
            continue
        walked.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in subfolders:
            if Path(name).suffix.lower() in suffixes:
                raise InputError(f"{Path(root, name)}: expected a file, found a folder")
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(root, name)


def _refuse_unreadable(error: OSError) -> None:
    """Raise InputError for a folder that `os.walk` would leave out."""
    raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _pieces(stem: str) -> tuple[list[str], int]:
    """The parts and separators of a name, and where its last number ends (0 without any)."""
    pieces = _split(_without_leading_zeros(_trim(stem)))
    ends = [place + 1 for place, piece in enumerate(pieces) if re.fullmatch("[0-9]+", piece)]
    return pieces, ends[-1] if ends else 0


def _name_parts(stem: str, most_parts: int) -> set[str]:
    """The stretches of 1..most_parts parts of a name, numbers without their leading zeros."""
    pieces, _ = _pieces(stem)
    parts, separators = pieces[::2], pieces[1::2]
    runs = set()
    for first in range(len(parts)):
        run = parts[first]
        runs.add(run)
        for last in range(first + 1, min(first + most_parts, len(parts))):
            run += separators[last - 1] + parts[last]
            runs.add(run)
    return runs


def _split(name: str) -> list[str]:
    """Split a name into its parts, at even places, and what separates them, at odd places."""
    return re.split(r"([\W_]+)", name)


def _trim(name: str) -> str:
    return re.sub(r"^[\W_]+|[\W_]+$", "", name)


def _without_leading_zeros(name: str) -> str:
    return re.sub(r"(?<![^\W_])0+(?=[0-9]+(?![^\W_]))", "", name)


def _listing(problems: list[str]) -> str:
    more = len(problems) - _MOST_LISTED
    shown = "; ".join(problems[:_MOST_LISTED])
    return f"{len(problems)} not so: {shown}{f'; and {more} more' if more > 0 else ''}"


def _file_names(folder: Path, paths: list[Path]) -> str:
    if not paths:
        return "no file"
    shown = ", ".join(str(path.relative_to(folder)) for path in paths[:3])
    return f"{len(paths)} files ({shown}{', ...' if len(paths) > 3 else ''})"

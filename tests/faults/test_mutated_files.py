"""Damaged files of every format, codec and reader: right values, or one error that names them."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import PIL.Image
import pytest

from pps_torch.io.coco_panoptic import PanopticFile
from pps_torch.io.errors import InputError
from pps_torch.io.image_files import check_id_map, count_channels, read_size
from pps_torch.io.image_list import ImageList
from pps_torch.io.images import read_id_map, read_photo, read_rgb, read_rgb_ids
from pps_torch.io.instances import InstanceRules, open_instances
from pps_torch.io.json_files import load_json
from pps_torch.pipelines.evaluation_tables import Tables
from pps_torch.specs import EvalSpec, SpecError
from pps_torch.specs.bundled import FOLDERS
from tests.cli.small_dataset import CAR, SmallDataset
from tests.fuzz.mutations import mutate_bytes, mutate_json, mutate_lines, mutate_png, mutate_tiff

FILES, SEED = 20_000, 18
SHAPE = (24, 40)

Mutation = Callable[[bytes, Random], bytes]


def ids(dtype: str, *channels: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(1, min(np.iinfo(dtype).max, 90_000), (*SHAPE, *channels)).astype(dtype)


def encoded(image: PIL.Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def writes_tiff(codec: str) -> bool:
    """Whether Pillow has a codec of TIFF; that of version 10.1 lacks Zstandard."""
    try:
        encoded(PIL.Image.new("L", (1, 1)), "TIFF", compression=codec)
    except OSError:
        return False
    return True


def images() -> dict[str, tuple[bytes, list[Mutation]]]:
    """By name, a file of each format and codec, and how it is damaged."""
    grey, deep, wide = ids("uint8"), ids("uint16"), ids("int32")
    rgb, rgba = ids("uint8", 3), np.concatenate([ids("uint8", 3), np.full((*SHAPE, 1), 255)], 2)
    pictures = {
        "grey": PIL.Image.fromarray(grey),
        "16 bits": PIL.Image.fromarray(deep),
        "32 bits": PIL.Image.fromarray(wide),
        "1 bit": PIL.Image.fromarray(grey > 100),
        "RGB": PIL.Image.fromarray(rgb),
        "RGBA": PIL.Image.fromarray(rgba.astype(np.uint8)),
        "palette": PIL.Image.fromarray(grey).convert("P"),
    }
    files: dict[str, tuple[bytes, list[Mutation]]] = {}
    for name, picture in pictures.items():
        if name != "32 bits":
            files[f"PNG {name}"] = encoded(picture, "PNG"), [mutate_png, mutate_bytes]
        for codec in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"):
            if codec not in ("zstd", "lzma") or (name == "grey" and writes_tiff(codec)):
                content = encoded(picture, "TIFF", compression=codec)
                files[f"TIFF {name} {codec}"] = content, [mutate_tiff, mutate_bytes]
        if name in ("grey", "1 bit", "RGB", "palette"):
            files[f"BMP {name}"] = encoded(picture, "BMP"), [mutate_bytes, mutate_header]
    for kind in ("JPEG", "WEBP"):
        files[kind] = encoded(pictures["RGB"], kind), [mutate_bytes]
    return files


def mutate_header(content: bytes, rng: Random) -> bytes:
    """Changes a number near the beginning."""
    data = bytearray(content)
    value = rng.choice((0, 1, 2, 4, 8, 16, 24, 32, 40, 1000, 2**31 - 1, 2**32 - 1))
    struct.pack_into("<I", data, rng.randrange(0, 60), value)
    return bytes(data)


IMAGE_READERS = {
    "read_id_map": read_id_map,
    "read_id_map, size": lambda path: read_id_map(path, SHAPE),
    "read_rgb_ids": read_rgb_ids,
    "read_rgb": read_rgb,
    "read_photo": lambda path: read_photo(path, SHAPE),
    "check_id_map": lambda path: check_id_map(path, SHAPE),
    "read_size": read_size,
    "count_channels": count_channels,
}


def texts(folder: Path) -> dict[str, tuple[bytes, list[Mutation], Callable]]:
    """By name, a file of each other format, how it is damaged, and its reader."""
    dataset = SmallDataset(folder)
    assert dataset.run("eval_pq", "--tables") == 0
    image_list = ImageList.load(dataset.images_json)
    rules = InstanceRules("spec", {CAR: "car"}, (CAR,), 0.5)

    def instances(kind: str) -> Callable:
        def read(path: Path) -> None:
            source = dataset.instances_txt if kind == "Cityscapes" else path
            found = open_instances(source, kind, image_list, rules)
            for image in image_list:
                found.read(image)

        return read

    txt = sorted(dataset.instances_txt.glob("*.txt"))[1]
    spec = (FOLDERS["evalspec"] / "cpp_default_evalspec.yaml").read_bytes()
    return {
        "JSON": (dataset.images_json.read_bytes(), [mutate_json, mutate_bytes], load_json),
        "images": (dataset.images_json.read_bytes(), [mutate_json], ImageList.load),
        "panoptic": (
            *(dataset.panoptic_json.read_bytes(), [mutate_json]),
            lambda path: PanopticFile.load(path, dataset.panoptic_dir),
        ),
        "COCO": (dataset.instances_json.read_bytes(), [mutate_json], instances("COCO")),
        "txt": (txt.read_bytes(), [mutate_lines], instances("Cityscapes")),
        "spec": (spec, [mutate_lines, mutate_bytes], EvalSpec.load),
        "tables": (
            *((dataset.output / "pq_tables.json").read_bytes(), [mutate_json, mutate_bytes]),
            Tables.load,
        ),
    }


@pytest.mark.slow
def test_mutated_files(tmp_path):
    rng, outcomes, pictures = Random(SEED), Counter(), images()
    others = texts(tmp_path / "dataset")
    txt = sorted((tmp_path / "dataset/instances").glob("*.txt"))[1]
    whole = {}
    warnings.simplefilter("ignore")
    for name, (content, _) in pictures.items():
        path = tmp_path / "whole"
        path.write_bytes(content)
        whole[name] = {key: outcome(read, path) for key, read in IMAGE_READERS.items()}
        assert any(not isinstance(value, Refused) for value in whole[name].values()), name
    for number in range(FILES):
        if number % 4:
            kind = rng.choice(list(pictures))
            content, mutations = pictures[kind]
            reader = rng.choice(list(IMAGE_READERS))
            read, path = IMAGE_READERS[reader], tmp_path / "damaged"
        else:
            kind = reader = rng.choice(list(others))
            content, mutations, read = others[kind]
            path = txt if kind == "txt" else tmp_path / f"damaged_{kind}.json"
        damaged = rng.choice(mutations)(content, rng)
        path.write_bytes(damaged)
        case = f"{number}: {kind}, {reader}"
        found = outcome(read, path)
        if isinstance(found, Refused):
            assert "\n" not in found.replace("a\nb", "").strip(), case  # a text of the file's own
            assert len(found) < 20_000, case
            assert path.name in found or "loop" in found or kind == "txt", f"{case}: {found}"
            outcomes[kind.split()[0], "error"] += 1
        else:
            outcomes[kind.split()[0], "read"] += 1
            if (
                kind.startswith("PNG")
                and reader.startswith("read_")
                and is_untouched(damaged, content)
            ):
                assert np.array_equal(found, whole[kind][reader]), case
    txt.write_bytes(others["txt"][0])
    counted = ", ".join(f"{kind} {what} {n}" for (kind, what), n in sorted(outcomes.items()))
    print(f"{FILES} files over {len(pictures)} images and {len(others)} others: {counted}")
    assert sum(outcomes.values()) == FILES


class Refused(str):
    """The message of an error."""


def outcome(read: Callable, path: Path):
    """What a reader gives, or the message of its own error; anything else is raised."""
    try:
        found = read(path)
    except (InputError, SpecError) as error:
        return Refused(error)
    return () if found is None else found


def is_untouched(damaged: bytes, content: bytes) -> bool:
    """Whether a PNG has the header and the pixels of another one."""
    return _essential(damaged) == _essential(content)


def _essential(content: bytes) -> list[bytes]:
    pieces, place = [], 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        if kind in (b"IHDR", b"IDAT", b"PLTE"):
            pieces.append(content[place : place + 12 + length])
        place += 12 + length
    return pieces


def test_essential_parts():
    """Damage beside the pixels is told from damage to them."""
    content = encoded(PIL.Image.fromarray(ids("uint8")), "PNG")
    text = b"tEXtk\0x"
    chunk = struct.pack(">I", 3) + text + struct.pack(">I", zlib.crc32(text))
    assert is_untouched(content[:33] + chunk + content[33:], content)
    assert not is_untouched(content[:60] + b"x" + content[61:], content)

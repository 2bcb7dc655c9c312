"""Small files that stand for huge things, and names that lead elsewhere, are refused cheaply."""

from __future__ import annotations

import functools
import json
import os
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from tests import ROOT
from tests.cli.small_dataset import CAR, HEIGHT, IDS, WIDTH, SmallDataset, edit_json

#: A process that has imported everything may take so much more for all bombs, one by one.
MEGABYTES = 400

_PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from pps_torch.io.coco_panoptic import PanopticFile
from pps_torch.io.errors import InputError
from pps_torch.io.image_list import ImageList
from pps_torch.io.images import read_id_map, read_photo
from pps_torch.io.instances import InstanceRules, open_instances
from pps_torch.io.json_files import load_json
from pps_torch.specs import EvalSpec, SpecError

readers = {
    "png": lambda path: read_id_map(path, (24, 40)),
    "any_png": read_id_map,
    "photo": lambda path: read_photo(path, (24, 40)),
    "json": load_json,
    "images": ImageList.load,
    "yaml": EvalSpec.load,
}
read_id_map(Path(sys.argv[3]))  # Pillow and its parts are loaded
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1]) * 10**6
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for kind, path in json.loads(sys.argv[2]):
    begun = time.process_time()
    try:
        readers[kind](Path(path))
        outcome = "read"
    except (InputError, SpecError) as error:
        outcome = str(error)
    except BaseException as error:
        outcome = f"BAD {type(error).__name__}: {error}"
    print(json.dumps([outcome[:500], time.process_time() - begun]))
"""


def png(size, *more: tuple[bytes, bytes], pixels: bytes = b"") -> bytes:
    header = (b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    chunks = [header, *more, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


@functools.cache
def zeros(count: int) -> bytes:
    """Zeros, compressed a thousand times."""
    packer = zlib.compressobj(9)
    piece = bytes(1 << 20)
    return b"".join(packer.compress(piece) for _ in range(count >> 20)) + packer.flush()


def tiff(width, height, strip: bytes, compression=8) -> bytes:
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, compression)]
    entries += [(262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(strip))]
    place = 8 + len(strip) + len(strip) % 2
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries
    )
    return (
        struct.pack("<2sHI", b"II", 42, place)
        + strip.ljust(place - 8, b"\0")
        + directory
        + bytes(4)
    )


def laughs() -> bytes:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    return "\n".join(["a0: &a0 [x]", *levels, "dataset_spec_path: *a29"]).encode()


def image_entry(**values) -> bytes:
    entry = {"id": 1, "file_name": "a.png", "height": 4, "width": 4, **values}
    return json.dumps({"images": [entry]}).encode()


BILLION = 10**9
ROWS = zlib.compress(bytes(41 * 24))


def bombs() -> dict[str, tuple[str, bytes, str]]:
    """What it is -> (how it is read, the file, what is said)."""
    text, profile = b"k\0\0" + zeros(300 << 20), b"name\0\0" + zeros(300 << 20)
    return {
        "a header of 10^18 pixels": ("png", png((BILLION, BILLION)), "pixels"),
        "a header of 10^9 pixels": ("any_png", png((BILLION, 1), pixels=zeros(1 << 20)), "pixels"),
        "a header of 10^9 pixels, photo": ("photo", png((BILLION, 1)), "pixels"),
        "80 million pixels, not 960": (
            "png",
            png((40, 2_000_000)),
            "found 2000000 x 40",
        ),
        "a TIFF header of 10^9 pixels": ("any_png", tiff(BILLION, 1, zlib.compress(b"")), "pixels"),
        "a TIFF header of 2^64 pixels": ("any_png", tiff(2**32 - 1, 2**32 - 1, b""), "image"),
        "pixels beyond the image": ("png", png((40, 24), pixels=zeros(300 << 20)), "read"),
        "a TIFF strip beyond the image": ("png", tiff(40, 24, zeros(300 << 20)), "any"),
        "a compressed text": ("png", png((40, 24), (b"zTXt", text), pixels=ROWS), "any"),
        "many compressed texts": ("png", png((40, 24), *[(b"zTXt", text)] * 9, pixels=ROWS), "any"),
        "an international text": ("png", png((40, 24), (b"iTXt", text), pixels=ROWS), "any"),
        "a colour profile": ("png", png((40, 24), (b"iCCP", profile), pixels=ROWS), "any"),
        "a chunk of 2^32 bytes": ("png", png((40, 24))[:33] + b"\xff\xff\xff\xffIDAT", "any error"),
        "JSON nested 10^6 deep": ("json", b"[" * 10**6, "too deep a nesting"),
        "JSON objects nested 10^6 deep": ("json", b'{"a":' * 10**6, "too deep a nesting"),
        "a number of 10^6 digits": ("json", b"9" * 10**6, "a number that is too long"),
        "a height of 10^9": ("images", image_entry(height=BILLION), "at most 178956970 pixels"),
        "a height of 10^400": ("images", image_entry(height=10**400), "at most 178956970 pixels"),
        "an id of 10^6 digits": ("images", image_entry(id="9" * 10**6), "images[0]: id"),
        "a YAML of a billion laughs": ("yaml", laughs(), "aliases stand for more than 200000"),
        "YAML nested 100,000 deep": ("yaml", b"[" * 100_000, "not a valid spec in YAML"),
        "YAML mappings nested 10,000 deep": ("yaml", b"{a: " * 10_000, "not a valid spec in YAML"),
        "YAML nested 30 deep": ("yaml", b"a: " + b"[" * 30 + b"]" * 30, "nested more than 20 deep"),
        "a YAML of 10 MB": ("yaml", b"a: b\n" * 2_000_000, "at most 250000 bytes"),
        "YAML that calls Python": (
            "yaml",
            b"!!python/object/apply:os.abort []",
            "expected a mapping",
        ),
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits its memory as Linux does")
def test_bombs_are_refused_in_little_memory_and_time(tmp_path):
    usual = tmp_path / "usual.png"
    usual.write_bytes(png((40, 24), pixels=ROWS))
    jobs, cases = [], bombs()
    for number, (kind, content, _) in enumerate(cases.values()):
        path = tmp_path / f"{number}.{kind.removeprefix('any_')}"
        path.write_bytes(content)
        jobs.append((kind, str(path)))
    command = [sys.executable, "-c", _PROGRAM, str(MEGABYTES), json.dumps(jobs), str(usual)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    outcomes = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(outcomes) == len(cases), run.stderr
    for (name, (_, _, expected)), (_, path), (outcome, seconds) in zip(
        cases.items(), jobs, outcomes
    ):
        assert not outcome.startswith("BAD"), f"{name}: {outcome}"
        assert seconds < 5, f"{name}: {seconds} s"
        if expected == "any":
            assert outcome == "read" or path in outcome, f"{name}: {outcome}"
        elif expected == "any error":
            assert path in outcome, f"{name}: {outcome}"
        else:
            assert expected in outcome, f"{name}: {outcome}"
            assert expected == "read" or path in outcome


@pytest.fixture
def dataset(tmp_path) -> SmallDataset:
    dataset = SmallDataset(tmp_path / "dataset")
    Image.fromarray(np.ones((HEIGHT, WIDTH), np.uint8)).save(tmp_path / "elsewhere.png")
    return dataset


def refused(dataset, capsys, tool, *fragments):
    assert dataset.run(tool) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert all(fragment in message for fragment in fragments), message
    assert not (dataset.folder.parent / "written.png").exists()


OUTSIDE = ["../written.png", "a/../../written.png", "/tmp/written.png", "..", "a\\..\\..\\b.png"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("tool", ["merge_to_panoptic", "merge_to_pps"])
def test_a_name_in_the_list_of_images_leads_outside(dataset, capsys, tool, name):
    edit_json(dataset.images_json, lambda c: c["images"][1].update(file_name=name))
    refused(dataset, capsys, tool, "images.json: images[1]: file_name: expected a relative path")


@pytest.mark.parametrize("name", ["../../elsewhere.png", "/etc/passwd", "link/../x.png"])
@pytest.mark.parametrize("tool", ["merge_to_pps", "eval_pq"])
def test_a_name_in_a_panoptic_json_leads_outside(dataset, capsys, tool, name):
    os.symlink(dataset.folder, dataset.panoptic_dir / "link")
    edit_json(dataset.panoptic_json, lambda c: c["annotations"][1].update(file_name=name))
    refused(dataset, capsys, tool, "panoptic.json", IDS[1], "expected a file inside")


@pytest.mark.parametrize("name", ["../../elsewhere.png", "/etc/passwd", "link/../x.png", "\0.png"])
def test_a_name_in_a_text_file_leads_outside(dataset, capsys, name):
    os.symlink(dataset.folder, dataset.instances_txt / "link")
    path = dataset.instances_txt / f"{IDS[1]}_pred.txt"
    path.write_text(f"{name} {CAR} 0.9\n")
    refused(dataset, capsys, "merge_to_panoptic Cityscapes", str(dataset.instances_txt), "expected")


def test_a_link_to_itself(dataset, capsys):
    for path in (
        dataset.semantic,
        dataset.instances_json,
        dataset.panoptic_dir,
        dataset.images_json,
    ):
        path.rename(dataset.folder / "moved")
        os.symlink(path.name, path)
        tool = "merge_to_pps" if path == dataset.panoptic_dir else "merge_to_panoptic"
        refused(dataset, capsys, tool, f"{path}: cannot be read: Too many levels of symbolic links")
        path.unlink()
        (dataset.folder / "moved").rename(path)


def test_a_link_in_the_output_leads_outside(dataset, capsys):
    dataset.output.mkdir()
    os.symlink(dataset.folder.parent, dataset.output / "sub")
    edit_json(dataset.images_json, lambda c: c["images"][1].update(file_name="sub/written.png"))
    refused(dataset, capsys, "merge_to_pps", "expected a folder inside", "leads to")


def test_folders_that_the_user_linked_are_read(dataset):
    """Links that stand for a folder, or for a city of it, are no names in a file."""
    for folder in (dataset.semantic, dataset.instances_txt):
        moved = dataset.folder.parent / f"moved_{folder.name}"
        folder.rename(moved)
        folder.mkdir()
        os.symlink(moved, folder / "city")
    assert dataset.run("merge_to_panoptic Cityscapes") == 0


def test_polygons_of_endless_sides_are_refused(dataset, capsys):
    polygon = [0.0, 0.0, 399.0, 399.0] * 100_000
    edit_json(dataset.instances_json, lambda c: c[0].update(segmentation=[polygon]))
    begun = time.process_time()
    refused(dataset, capsys, "merge_to_panoptic", "annotation 0", "expected sides of at most")
    assert time.process_time() - begun < 5


def test_more_masks_than_memory_are_refused(dataset, capsys, monkeypatch):
    from pps_torch.io import instances

    monkeypatch.setattr(instances, "_MOST_MASK_PIXELS", HEIGHT * WIDTH)
    edit_json(dataset.instances_json, lambda c: c.extend(c[:1] * 3))
    refused(dataset, capsys, "merge_to_panoptic", "instances.json", "found 4 instances")


def test_damage_that_only_a_checksum_shows(dataset, capsys):
    """One bit of the compressed pixels; Pillow reads such files, with other pixels."""
    path = dataset.semantic / f"{IDS[1]}_semantic.png"
    content = bytearray(path.read_bytes())
    place = content.index(b"IDAT") + 4 + 12
    before = np.array(Image.open(path))
    for bit in range(8 * 30):
        damaged = bytearray(content)
        damaged[place + bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            if (np.array(Image.open(path)) != before).any():
                break
        except (OSError, SyntaxError, ValueError):
            continue
    else:
        pytest.skip("this Pillow notices")
    refused(dataset, capsys, "merge_to_panoptic", path.name, "checksum of its chunk b'IDAT'")


def test_names_with_line_breaks_stay_in_one_line(dataset, capsys):
    edit_json(dataset.images_json, lambda c: c["images"][1].update(id="a\nerror: \x1b[31mb"))
    refused(dataset, capsys, "merge_to_pps", r"a\nerror: \x1b[31mb")

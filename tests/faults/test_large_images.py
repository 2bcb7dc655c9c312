"""One very large image takes memory for its decoded maps and little more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from pps_torch.io.images import write_rgb, write_rgb_ids
from tests import ROOT

HEIGHT, WIDTH = 11_000, 12_000

#: Bytes for each pixel: two maps of 32 bits, six more, and one for what does not grow with it.
MOST_BYTES = 8 + 6 + 1

COMMON = ["--quiet", "--workers", "1", "--device", "cpu"]

_PROGRAM = """
import json, sys
from pps_torch.cli.main import main

def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def forget():
    open("/proc/self/clear_refs", "w").write("5")

for command in json.loads(sys.argv[1]):
    small, large = command
    assert main(small) == 0
    forget()
    before = peak()
    assert main(large) == 0
    print("bytes", peak() - before)
"""


def panoptic(folder: Path, name: str, shape: tuple[int, int]) -> Path:
    """A COCO panoptic file of one image of large squares."""
    rows, columns = (np.arange(size) * 10 // size for size in shape)
    ids = (1 + rows[:, None] + 10 * columns).astype(np.int32)
    if name == "pred":
        ids[ids == 7] = 8
    write_rgb_ids(folder / name / "a.png", ids)
    segments = [{"id": int(i), "category_id": 1 + int(i) % 2} for i in np.unique(ids)]
    content = {
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": c, "name": f"c{c}", "isthing": 1, "color": [c] * 3} for c in (1, 2)],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def part_aware(folder: Path, shape: tuple[int, int]) -> None:
    """Ground truth and prediction of one image of large squares: roads, people and cars."""
    rows, columns = (np.arange(size) * 10 // size for size in shape)
    number = (1 + rows[:, None] + 10 * columns).astype(np.int32)
    kind = number % 3
    uids = np.select([kind == 0, kind == 1], [7, 24_000 + number], 26_000 + number)
    pps = np.stack([np.select([kind == 0, kind == 1], [7, 24], 26), number * (kind > 0), kind * 0])
    pps[1][number == 7] = 8
    for name in ("gt", "pred"):
        (folder / name).mkdir(parents=True)
    uids = PIL.Image.fromarray(uids.astype(np.int32))
    uids.save(folder / "gt" / "a_gtFinePanopticParts.tif", compression="tiff_lzw")
    write_rgb(folder / "pred" / "a.png", pps.astype(np.uint8))
    images = [{"id": "a", "file_name": "a.png", "height": shape[0], "width": shape[1]}]
    (folder / "images.json").write_text(json.dumps({"images": images}))


def bytes_a_pixel(small: list[list[str]], large: list[list[str]], num_pixels: int) -> list[float]:
    """What commands take for a large image, beyond what the same ones take for a small one."""
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps([*zip(small, large)])],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith("bytes ")]
    return [int(number) / num_pixels for _, number in lines]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_pq_of_a_large_image(tmp_path):
    def commands(kind: str, shape: tuple[int, int]) -> list[list[str]]:
        folder = tmp_path / kind
        for name in ("gt", "pred"):
            (folder / name).mkdir(parents=True)
        gt, pred = (panoptic(folder, name, shape) for name in ("gt", "pred"))
        evaluate = ["eval_pq", "--gt_json_file", str(gt), "--pred_json_file", str(pred)]
        evaluate += ["--save_dir", str(folder / "out"), "--tables", *COMMON]
        return [evaluate, ["report", str(folder / "out"), str(folder / "a.html"), *COMMON]]

    small, large = commands("small", (20, 30)), commands("large", (HEIGHT, WIDTH))
    evaluation, report = bytes_a_pixel(small, large, HEIGHT * WIDTH)
    print(f"{evaluation:.1f} and {report:.1f} bytes a pixel")
    assert evaluation <= MOST_BYTES and report <= MOST_BYTES


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_partpq_of_a_large_image(tmp_path):
    """Its maps are one of 32 bits and three bytes; a report makes two maps of segments of them."""

    def commands(kind: str, shape: tuple[int, int]) -> list[list[str]]:
        folder = tmp_path / kind
        part_aware(folder, shape)
        evaluate = ["eval_partpq", "cpp_default", str(folder / "gt"), str(folder / "pred")]
        evaluate += [str(folder / "images.json"), "--save_dir", str(folder / "out"), "--tables"]
        report = ["report", str(folder / "out"), str(folder / "a.html")]
        return [[*evaluate, *COMMON], [*report, *COMMON]]

    small, large = commands("small", (20, 30)), commands("large", (HEIGHT // 2, WIDTH // 2))
    evaluation, report = bytes_a_pixel(small, large, HEIGHT * WIDTH // 4)
    print(f"{evaluation:.1f} and {report:.1f} bytes a pixel")
    assert evaluation <= MOST_BYTES + 1 and report <= MOST_BYTES + 6

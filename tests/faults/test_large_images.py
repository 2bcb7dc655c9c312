"""One very large image takes memory for its decoded maps and little more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pps_torch.io.images import write_rgb_ids
from tests import ROOT

HEIGHT, WIDTH = 11_000, 12_000

#: Bytes for each pixel: two maps of 32 bits, six more, and one for what does not grow with it.
MOST_BYTES = 8 + 6 + 1

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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_memory_for_each_pixel(tmp_path):
    commands: list[list[list[str]]] = [[], []]
    for kind, shape in (("small", (20, 30)), ("large", (HEIGHT, WIDTH))):
        folder = tmp_path / kind
        for name in ("gt", "pred"):
            (folder / name).mkdir(parents=True)
        gt, pred = (panoptic(folder, name, shape) for name in ("gt", "pred"))
        common = ["--quiet", "--workers", "1", "--device", "cpu"]
        evaluate = ["eval_pq", "--gt_json_file", str(gt), "--pred_json_file", str(pred)]
        commands[0].append([*evaluate, "--save_dir", str(folder / "out"), "--tables", *common])
        commands[1].append(["report", str(folder / "out"), str(folder / "a.html"), *common])
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(commands)],
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith("bytes ")]
    evaluation, report = (int(number) / (HEIGHT * WIDTH) for _, number in lines)
    print(f"{evaluation:.1f} and {report:.1f} bytes a pixel")
    assert evaluation <= MOST_BYTES and report <= MOST_BYTES

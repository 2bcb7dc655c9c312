"""Random scenes agree with the slow rules; 120 here (slow), many more by tools/random_scenes.py."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from pps_torch import ModifiedPanopticQuality
from pps_torch.ops.scoring import compare_part_segments
from tests import ROOT
from tests.random_scenes.block import check_block
from tests.random_scenes.runner import main
from tests.random_scenes.scenes import BLOCK, Scene, Setting

TOOL = ROOT / "tools" / "random_scenes.py"


def numbers_of(block: int) -> list[int]:
    return list(range(block * BLOCK, (block + 1) * BLOCK))


@pytest.mark.slow
def test_120_scenes(capsys):
    """Six blocks: among them one for Triton, one that is compiled and two in shards."""
    code = main(["--scenes", "120", "--seed", "1", "--compiler", "eager"])
    output = capsys.readouterr().out
    assert code == 0, output
    assert "120 scenes of seed 1: 0 with a mismatch" in output
    for line in ("120  PQ", "120  PartPQ", "120  merges", "6  PartPQ in batches", "1  compiled"):
        assert any(found.strip() == line for found in output.splitlines()), line


def test_a_scene_is_the_same_each_time_and_alone():
    setting = Setting(3, 2)
    for number in (41, 40, 41):
        scene, again = (Scene(3, number, Setting(3, number // BLOCK)) for _ in range(2))
        assert again.panoptic[1] == scene.panoptic[1]
        assert (again.parts[1] == scene.parts[1]).all() and scene.setting.size == setting.size
    assert Scene(4, 41, setting).part_seg.tolist() != Scene(3, 41, setting).part_seg.tolist()


@pytest.mark.slow
def test_the_digest_tells_blocks_apart_and_does_not_depend_on_what_ran_before():
    first, second, again = (
        check_block(1, numbers_of(block), "cpu", "eager").digest for block in (8, 9, 8)
    )
    assert first == again != second


@pytest.mark.slow
def test_a_wrong_number_is_found_with_the_command_for_its_scene(monkeypatch, capsys):
    """Scores of PartPQ that are off by 1e-11."""
    right = compare_part_segments.mean_part_iou
    monkeypatch.setattr(
        compare_part_segments, "mean_part_iou", lambda *args, **kw: right(*args, **kw) * (1 - 1e-11)
    )
    assert main(["--scenes", "20", "--compiler", "eager"]) == 1
    output = capsys.readouterr().out
    assert "PartPQ: class" in output and " with a mismatch" in output
    again = output.split("again: python tools/random_scenes.py ")[1].split("\n")[0]
    assert again.startswith("--seed 1 --scene ")
    assert main([*again.split(), "--compiler", "eager"]) == 1
    assert f"MISMATCH in scene {again.split()[-1]}: PartPQ" in capsys.readouterr().out


def test_a_batch_that_counts_otherwise_is_found(monkeypatch):
    right = ModifiedPanopticQuality.add

    def add(self, comparison):
        right(self, comparison)
        self.class_sums[0, 3] += len(comparison.gt_class) - 1

    monkeypatch.setattr(ModifiedPanopticQuality, "add", add)
    found = [what for _, what in check_block(1, numbers_of(1)[:4], "cpu", "eager").mismatches]
    assert "PQ in batches: a batch counts otherwise" in found
    assert "PQ in shards: shards count otherwise" in found


def test_an_error_of_the_package_is_a_mismatch_of_its_scene(monkeypatch):
    def fail(*_, **__):
        raise KeyError("no such class")

    monkeypatch.setattr(compare_part_segments, "match_segments", fail)
    report = check_block(1, numbers_of(0)[:4], "cpu", "eager")
    assert (0, "PartPQ: KeyError('no such class')") in report.mismatches
    assert report.counts["PQ"] == 4 and not report.counts["PartPQ"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_device_gives_the_same_digest():
    for block in (0, 2):
        host, device = (
            check_block(1, numbers_of(block), name, "eager") for name in ("cpu", "cuda")
        )
        assert not device.mismatches and device.digest == host.digest


@pytest.mark.slow
def test_the_tool_says_how_it_is_used():
    run = subprocess.run([sys.executable, str(TOOL), "-h"], capture_output=True, text=True)
    assert run.returncode == 0 and "--scene " in run.stdout

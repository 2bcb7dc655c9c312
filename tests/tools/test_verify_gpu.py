"""tools/verify_gpu.py: its report on steps that are made up, and its own steps at tiny sizes."""

import sys
from pathlib import Path

import pytest
import torch
import verify_gpu
from benchmarks import operations
from benchmarks.scenes import Sizes
from verification import equal_backends, kernel_times, running
from verification.calls import named_tensors
from verification.running import Run
from verification.steps import KEYS, Options, Step, steps

from pps_torch import MeanIoU, PanopticTarget
from tests import ROOT
from tests.processes import run_python


def step(name: str, code: str, weight: float = 1, **settings) -> Step:
    return Step(name, name, weight, lambda _: [sys.executable, "-c", code], **settings)


def test_each_step_is_told_and_one_that_fails_does_not_end_the_others(tmp_path):
    made = tmp_path / "made.md"
    report = tmp_path / "verify_gpu.md"
    run = Run(
        [
            step("good", "print('all is well')"),
            step("table", "print('| a | b |')", prints_markdown=True),
            step("file", f"open({str(made)!r}, 'w').write('| c | d |')", result=made),
            step("bad", "import sys; print('half a row'); sys.exit('what went wrong')"),
            step("crash", "import os; os.abort()"),
            step("empty", "raise SystemExit(5)"),
            step(
                "last", f"print({str(report)!r} and open({str(report)!r}).read().count('FAILED'))"
            ),
        ],
        tmp_path,
        {"gpu": "none"},
    )
    assert run.within(120) == 1
    verdicts = [outcome.verdict for outcome in run.outcomes]
    assert verdicts == [
        *["passed"] * 3,
        "FAILED: exit code 1",
        "FAILED: killed by signal 6",
        "NOT RUN: no test is chosen",
        "passed",
    ]
    text = report.read_text()
    assert "- gpu: none" in text and "## good\n\n```\nall is well\n```" in text
    assert "## table\n\n| a | b |" in text and "## file\n\n| c | d |" in text
    assert "half a row" in text and "what went wrong" in text
    assert text.endswith("```\n2\n```\n")  # the report was there while the last step ran


@pytest.mark.slow
def test_a_step_that_is_too_slow_says_what_it_knows_and_the_rest_has_no_time(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "GRACE", 2.0)
    monkeypatch.setattr(running, "LEAST", 0.5)
    sleep = "import time; print('{}', flush=True); time.sleep(99)"
    run = Run(
        [
            step("slow", sleep.format("| one | FAILED: two |"), 1, prints_markdown=True),
            step("later", sleep.format("three"), 1),
            step("never", "print('never')", 0.01),
        ],
        tmp_path,
        {},
    )
    assert run.within(5) == 1
    slow, later, never = run.outcomes
    assert slow.verdict.startswith("FAILED, and OUT OF TIME") and "| one | FAILED" in slow.text
    assert later.verdict.startswith("OUT OF TIME") and "three" in later.text
    assert never.verdict == "NOT RUN: no time left"
    assert slow.seconds < 4 and "KeyboardInterrupt" in slow.text


def test_steps_have_the_keys_of_the_command_line_and_take_the_clones(tmp_path):
    options = Options("cuda", 1.0, tmp_path, Path("/d2"), Path("/m2f"))
    made = {step.key: step.command(100) for step in steps(options)}
    assert tuple(made) == KEYS
    assert made["benchmark"][-4:] == ["--detectron2_dir", "/d2", "--mask2former_dir", "/m2f"]
    assert made["tests"][3:6] == ["-m", "gpu", "tests"]
    assert made["scenes"][made["scenes"].index("--seconds") + 1] == "70"


def test_without_gpu_it_says_how_to_try_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no GPU here; --device cpu"):
        verify_gpu.main([])


@pytest.mark.slow
def test_it_runs_small_without_a_gpu(tmp_path, capsys):
    arguments = "--device cpu --scale 0.02 --minutes 2 --only tests scenes capture"
    folder = ["--tests", "tests/specs", "--output_dir", str(tmp_path)]
    assert verify_gpu.main([*arguments.split(), *folder]) == 0
    text = (tmp_path / "verify_gpu.md").read_text()
    assert "| random scenes against the oracles | passed |" in text
    assert " with a mismatch, digest" in text
    assert "| merge_pps | not CUDA | not CUDA |" in text


def test_tensors_have_names():
    tensor = torch.zeros(2)
    found = named_tensors((tensor, PanopticTarget(*[tensor] * 4)))
    fields = ["1.panoptic_seg", "1.category_ids", "1.is_crowd", "1.num_segments"]
    assert list(found) == ["0", *fields]
    assert "confusion" in named_tensors(MeanIoU([{"id": 1, "name": "a", "isthing": 1}]))


def test_shares_of_values_that_differ():
    nan = float("nan")
    share = equal_backends.share_that_differs(
        torch.tensor([1.0, nan, 3.0, nan]), torch.tensor([1.0, nan, 4.0, 5.0])
    )
    assert share == 0.5
    with pytest.raises(equal_backends.Difference, match="int32.*where.*int64"):
        equal_backends.share_that_differs(torch.zeros(1).int(), torch.zeros(1).long())


def test_kernels_of_a_call_are_summed_and_the_slowest_stands_first():
    operation = operations.merge_pps(Sizes(16, 16, instances=3), torch.device("cpu"))
    (what, count, time), first, *_, last = kernel_times.kernel_times(
        "merge_pps", lambda: operation, torch.device("cpu")
    )
    assert what == "**all**" and int(count) > kernel_times.MOST_KERNELS
    assert float(time) > float(first[2]) > 0 and last[0] == "others"


@pytest.mark.parametrize(
    ("kernel", "name"),
    [
        ("_pack_kernel", "_pack_kernel"),
        ("Memset (Device)", "Memset "),
        (
            "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int>, "
            "std::array<char*, 1ul> >(int, at::native::FillFunctor<int>, std::array<char*, 1ul>)",
            "vectorized_elementwise_kernel: FillFunctor",
        ),
    ],
)
def test_names_of_kernels_fit_a_line(kernel, name):
    assert kernel_times.short_name(kernel) == name


@pytest.mark.slow
def test_a_test_file_whose_library_is_missing_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tools"))
    (tmp_path / "test_a.py").write_text("import no_such_library\n")
    (tmp_path / "test_b.py").write_text("import json.no_such_part as part\ndef test(): pass\n")
    (tmp_path / "test_c.py").write_text("def test(): pass\n")
    (tmp_path / "test_d.py").write_text("from json import no_such_name\n")
    (tmp_path / "test_e.py").write_text("import pps_torch.no_such_part\n")
    plugin = "verification.missing_libraries"
    arguments = ["-q", "-p", plugin, "-rsE", "--continue-on-collection-errors", str(tmp_path)]
    run = run_python("-m", "pytest", "--rootdir", str(tmp_path), *arguments)
    assert "1 passed, 2 skipped, 2 errors" in run.stdout
    assert "No module named 'no_such_library'" in run.stdout

"""No kernel has a race, misses a barrier or leaves its tensors; planted faults are seen."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tests import ROOT
from tests.graph.cases import (
    COUNTS,
    MERGES,
    count_parts,
    count_segments,
    merge_centers,
    merge_masks,
    merge_pps,
    with_backend,
)
from tests.ops.launched import launched_kernels
from tests.triton_support import needs_triton

pytestmark = [
    needs_triton,
    pytest.mark.skipif(torch.cuda.is_available(), reason="watches the interpreter"),
]

SCENES = [
    *(
        case if case in (merge_masks, merge_pps) else pytest.param(case, marks=pytest.mark.slow)
        for case in MERGES
    ),
    *(pytest.param(c, marks=pytest.mark.slow) for c in (merge_centers, count_segments, *COUNTS)),
    pytest.param(count_parts, marks=pytest.mark.slow),
]


@pytest.fixture
def watch():
    """Watches the launches of a test."""
    from tests.races.watcher import watched

    with watched() as watch:
        yield watch


def findings(watch) -> list[tuple[str, str]]:
    """Kind and example of each."""
    return [(kind, example) for (_, kind, _), example in watch.findings.items()]


def test_two_stores(watch):
    from tests.races import faults

    out = faults.numbers(4)
    faults.store_kernel[(4,)](out, OWN=True)
    assert not watch.findings and out.tolist() == [0, 1, 2, 3]
    faults.store_kernel[(4,)](out, OWN=False)
    assert findings(watch) == [("RACE", "byte 0 of out_ptr")]
    assert "store_kernel: RACE: store at faults.py:" in watch.harmful()


def test_reading_and_writing_without_an_atomic(watch):
    from tests.races import faults

    out = faults.numbers(1)
    faults.add_kernel[(3,)](out, ATOMIC=True)
    assert not watch.findings and out.item() == 3
    faults.add_kernel[(3,)](out, ATOMIC=False)
    assert findings(watch) == [("RACE", "byte 0 of out_ptr")]


def test_a_missing_barrier(watch):
    from tests.races import faults

    faults.turn_kernel[(1,)](faults.numbers(64), BARRIER=True)
    assert not watch.findings
    faults.turn_kernel[(1,)](faults.numbers(64), BARRIER=False)
    assert [kind for kind, _ in findings(watch)] == ["NO BARRIER"]


def test_a_load_past_the_end(watch):
    from tests.races import faults

    values, out = faults.numbers(40)[:20], faults.numbers(32)
    faults.read_kernel[(1,)](values, out, 20, MASKED=True)
    assert not watch.findings
    faults.read_kernel[(1,)](values, out, 20, MASKED=False)
    assert findings(watch) == [("STRAY load", "12 lanes, one 0 bytes after values_ptr")]


def test_stores_of_one_value_are_named_as_such(watch):
    from tests.races import faults

    faults.mark_kernel[(2,)](faults.numbers(1))
    assert findings(watch) == [("RACE, stores of one value", "byte 0 of out_ptr")]


def test_reading_what_others_add(watch):
    from tests.races import faults

    faults.count_kernel[(2,)](faults.numbers(1), faults.numbers(2))
    assert findings(watch) == [("RACE", "byte 0 of out_ptr")]


def test_a_place_is_claimed_by_an_atomic(watch):
    from tests.races import faults

    faults.claim_kernel[(3,)](faults.numbers(1), 0, ATOMIC=True)
    assert not findings(watch)
    faults.claim_kernel[(3,)](faults.numbers(1), 0, ATOMIC=False)
    assert [kind for kind, _ in findings(watch)] == ["RACE, stores of one value"]


def test_a_place_past_the_end_is_claimed(watch):
    from tests.races import faults

    faults.claim_kernel[(1,)](faults.numbers(1), 1, ATOMIC=True)
    assert findings(watch) == [("STRAY atomic", "1 lanes, one 0 bytes after out_ptr")]


def test_a_grid_that_cuda_refuses(watch):
    from tests.races import faults

    faults.store_kernel[(0, 65_536)](faults.numbers(1), OWN=True)
    assert [kind for kind, _ in findings(watch)] == ["GRID"]


@pytest.mark.parametrize("case", SCENES)
def test_no_kernel_of_a_public_call_clashes(watch, case):
    torch.manual_seed(0)
    module, inputs = with_backend(case, "triton")("cpu")
    module(*inputs)
    assert watch.launches and not watch.harmful()


@pytest.mark.slow
def test_no_kernel_clashes_in_its_own_tests():
    """Several blocks, tiles and images, long chains, every dtype; and no kernel is left out."""
    from tests.races.watcher import HARMLESS

    command = [sys.executable, "-m", "pytest", "-p", "tests.races.plugin", "tests/ops"]
    command += ["-m", "not gpu and not slow"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:]
    watched, clashes = (
        set(run.stdout.split(f"{what}: ", 1)[1].splitlines()[0].split("; "))
        for what in ("kernels watched", "clashes")
    )
    assert watched == {kernel.name for _, kernel in launched_kernels()}
    assert clashes == {f"{kernel}: {kind}" for kernel, kind in HARMLESS}

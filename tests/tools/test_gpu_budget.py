"""The budget of a GPU's work: launches of each public call, spills, and variants over many sizes.

Counted without a GPU by tools/budget, in processes in which Triton's interpreter is off.
"""

from __future__ import annotations

import pytest
import torch

from tests import ROOT
from tests.tools.stubbed import run_stubbed
from tests.triton_support import needs_triton

pytestmark = [
    needs_triton,
    pytest.mark.skipif(torch.cuda.is_available(), reason="pretends a GPU on the CPU's tensors"),
]

BUDGET = str(ROOT / "tools" / "gpu_budget.py")

#: Launches of one call at most: kernels of Triton, and operations of torch that launch one.
MOST_LAUNCHES = {
    "merge_panoptic": 14,
    "merge_panoptic_boxes": 14,
    "merge_panoptic_queries": 9,
    "merge_panoptic_centers": 16,
    "merge_pps": 2,
    "PPSPostProcessor": 20,
    "PanopticQuality.update": 6,
    "PartPanopticQuality.update": 8,
}

#: Variants of a kernel for the same types and constants: pixels divisible by 16, and others.
MOST_VARIANTS = 2


def rows_of(table: str) -> list[list[str]]:
    """The cells of a Markdown table below its head."""
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


@pytest.mark.slow
def test_no_call_launches_more_than_its_budget():
    table = run_stubbed(BUDGET, "--scale", "0.0625", "--without", "host", "kernels")
    launches = {row[0]: int(row[1].split(" ")[0]) for row in rows_of(table)}
    assert launches.keys() == MOST_LAUNCHES.keys()
    assert not {name: n for name, n in launches.items() if n > MOST_LAUNCHES[name]}


@pytest.mark.slow
@pytest.mark.skipif(
    not torch.__version__.startswith("2.11."),
    reason="registers are those of the Triton of torch 2.11; docs/performance.md has others",
)
def test_no_kernel_spills_on_hopper():
    printed = run_stubbed(BUDGET, "--scale", "0.0625", "--without", "host")
    calls, kernels = (rows_of(table) for table in printed.split("\n\n"))
    assert len(calls) == len(MOST_LAUNCHES) and len(kernels) > 15
    assert not [row for row in kernels if row[3] != "none"]


@pytest.mark.slow
def test_sizes_that_vary_are_not_compiled_again():
    """Images of many sizes, odd, divisible by 16 and 1, with any number of instances."""
    printed = run_stubbed(str(ROOT / "tests/tools/varying_sizes.py"))
    numbers = {name: int(n) for name, n in map(str.split, printed.splitlines())}
    assert len(numbers) > 15
    assert not {kernel: n for kernel, n in numbers.items() if n > MOST_VARIANTS}

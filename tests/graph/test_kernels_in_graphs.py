"""AOTInductor sees the kernels of a merge: as many as a call launches, with the same result."""

from __future__ import annotations

import functools
import json

import pytest
import torch

from pps_torch.io.errors import InputError
from pps_torch.pipelines.aot_inductor import compile_package
from tests.graph.programs import MERGES, export_merge
from tests.tools.stubbed import run_stubbed
from tests.triton_support import needs_triton

pytestmark = [
    needs_triton,
    pytest.mark.slow,
    pytest.mark.skipif(torch.__version__ < "2.11", reason="loops are exported from torch 2.11 on"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="pretends a GPU on the CPU's tensors"),
]


@functools.cache
def found():
    return json.loads(run_stubbed("-m", "tests.graph.kernels_in_graphs"))


@pytest.mark.parametrize("name", MERGES)
def test_a_graph_has_the_kernels_of_a_call(name):
    merge = found()[name]
    assert merge["in graph"] == merge["launched"] != []
    assert merge["operators"] == []


@pytest.mark.parametrize("name", MERGES)
def test_a_graph_gives_the_result_of_plain_torch(name):
    assert all(found()[name]["is same"])


def test_a_package_with_kernels_has_fixed_sizes(tmp_path, monkeypatch):
    monkeypatch.setattr("pps_torch.ops.backend._DEFAULT", "triton")
    program, _ = export_merge("pps")
    with pytest.raises(
        InputError, match=r"fixed sizes.* \(pps_torch.pps_channels.default\), found"
    ):
        compile_package(program, tmp_path / "merge.pt2")

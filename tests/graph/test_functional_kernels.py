"""Triton kernels stand in one graph that is functional, as compilers want it."""

from __future__ import annotations

import pytest
import torch

from tests.graph.cases import (
    COUNTS,
    MERGES,
    assert_same,
    count_parts_with_triton,
    count_segments_with_triton,
    with_backend,
)
from tests.triton_support import needs_triton


@pytest.mark.slow
@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels run on CUDA, not in the interpreter")
@pytest.mark.parametrize(
    "case",
    [
        *(with_backend(case, "triton") for case in MERGES[:-1]),
        count_segments_with_triton,
        count_parts_with_triton,
        *(with_backend(case, "triton") for case in COUNTS),
    ],
)
def test_kernels_stand_in_one_functional_graph(case):
    torch.manual_seed(0)
    module, inputs = case("cpu")
    expected = module(*inputs)
    torch._dynamo.reset()
    assert_same(torch.compile(module, fullgraph=True, backend="aot_eager")(*inputs), expected)

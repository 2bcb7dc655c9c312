"""What is compiled to code, each operation once, gives the same result."""

from __future__ import annotations

import shutil

import pytest
import torch

from pps_torch import QueryPanopticMerger
from tests.graph.cases import (
    assert_same,
    count_by_rules_of_torchmetrics,
    count_part_labels,
    count_parts,
    count_segments,
    merge_boxes,
    merge_centers,
    merge_masks,
    merge_pps,
    merge_queries,
)

inductor_splits_loops = pytest.mark.skipif(
    torch.__version__ < "2.7", reason="Inductor of torch 2.6 splits a loop of this twice, and fails"
)


needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs g++ on the CPU"
)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    "case",
    [
        merge_masks,
        merge_boxes,
        merge_queries,
        pytest.param(merge_centers, marks=inductor_splits_loops),
        merge_pps,
        count_segments,
        count_parts,
        count_by_rules_of_torchmetrics,
        count_part_labels,
    ],
)
def test_compiles_to_code_with_the_same_result(case):
    torch.manual_seed(0)
    module, inputs = case("cpu")
    expected = module(*inputs)
    torch._dynamo.reset()
    assert_same(torch.compile(module, fullgraph=True)(*inputs), expected)


@pytest.mark.slow
@needs_compiler
def test_infinite_logits_side_by_side():
    """Inductor interpolates by differences, which have to be finite, too."""
    module = QueryPanopticMerger([0])
    masks = torch.tensor([[[torch.inf, -torch.inf]]])
    inputs = torch.tensor([[9.0, 0]]), masks
    found = torch.compile(module, fullgraph=True)(*inputs, out_size=(1, 8))
    assert found.panoptic_seg.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0]]

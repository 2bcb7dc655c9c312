"""Mergers are exported to a file, and come back with the same result."""

from __future__ import annotations

import pytest
import torch

from tests.graph.cases import (
    assert_same,
    merge_boxes,
    merge_centers,
    merge_masks,
    merge_pps,
    merge_queries,
    post_process,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [merge_pps, merge_masks, merge_boxes, merge_queries, merge_centers, post_process]
)
def test_exports_to_a_file(case, tmp_path):
    torch.manual_seed(0)
    module, inputs = case("cpu")
    torch.export.save(torch.export.export(module, inputs), tmp_path / "module.pt2")
    loaded = torch.export.load(tmp_path / "module.pt2").module()
    expected = module(*inputs)
    assert_same(loaded(*inputs), expected)
    assert isinstance(loaded(*inputs), type(expected))

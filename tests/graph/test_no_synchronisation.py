"""Merging and metric updates never wait for the device: on CUDA, and on fake tensors.

Without a GPU, fake CUDA tensors refuse every operation that needs a value on the host; the other
files of this folder find every graph break.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pps_torch.ops.scoring import contract
from tests.graph.cases import (
    CASES,
    COUNTS,
    assert_same,
    count_parts,
    count_segments,
    tensors,
)


@pytest.fixture
def fake_tensors():
    """Fake tensors; older releases of torch cannot make them for CUDA without a driver."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode:
            torch.zeros(1).to("cuda")
    except RuntimeError as error:
        pytest.skip(f"torch {torch.__version__} has no fake CUDA tensors here: {error}")
    return mode


@pytest.mark.parametrize("case", CASES)
def test_no_value_is_needed_on_the_host(case, fake_tensors):
    with fake_tensors:
        module, inputs = case("cuda")
        outputs = tensors(module.to("cuda")(*inputs))
    assert all(output.device.type == "cuda" for output in outputs)


@pytest.mark.parametrize("case", [count_segments, count_parts, *COUNTS])
def test_lists_of_many_segments_need_no_value_on_the_host(case, fake_tensors, monkeypatch):
    monkeypatch.setattr(contract, "MAX_TABLE_CELLS", 0)
    test_no_value_is_needed_on_the_host(case, fake_tensors)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_cuda_does_not_synchronise_and_equals_the_cpu(case):
    torch.manual_seed(0)
    module, inputs = case("cpu")
    expected = module(*inputs)
    module, inputs = module.cuda(), _to_cuda(inputs)
    module(*inputs)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = module(*inputs)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_same(found, expected)


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_cuda_graph_replays_on_new_inputs(case):
    torch.manual_seed(1)
    module, inputs = case("cuda")
    module = module.cuda()
    _, fresh = case("cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        module(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = module(*inputs)
    for held, new in zip(tensors(inputs), tensors(fresh), strict=True):
        held.copy_(new)
    graph.replay()
    assert_same(outputs, module(*fresh))


def _to_cuda(value):
    if isinstance(value, torch.Tensor):
        return value.cuda()
    moved = [_to_cuda(item) for item in value]
    return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)

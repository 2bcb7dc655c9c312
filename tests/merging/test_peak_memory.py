"""N x H x W is never held: peak memory of the merges of boxes, for 200 detections at 4K.

Without a GPU the allocations are counted on fake CUDA tensors: those of the launchers too, which
are called with kernels that do nothing.
"""

from __future__ import annotations

import contextlib
import weakref

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from pps_torch import BoxPanopticMerger, EvalSpec, PPSPostProcessor
from pps_torch.ops import backend as backends
from tests.triton_support import REASON

SPEC = EvalSpec.load("cpp_default")
NUM, HEIGHT, WIDTH = 200, 2160, 3840
MIB = 1 << 20

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of new CUDA storages that are alive, and the most there ever were."""

    def __init__(self, inputs):
        super().__init__()
        self.live, self.peak = 0, 0
        self._known = weakref.WeakSet()
        tree_map_only(torch.Tensor, lambda value: self._known.add(value.untyped_storage()), inputs)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._count, result)
        return result

    def _count(self, tensor):
        storage = tensor.untyped_storage()
        if tensor.device.type != "cuda" or storage in self._known:
            return
        self._known.add(storage)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, num_bytes):
        self.live -= num_bytes


class NoKernel:
    """Stands for a kernel, which is launched with keywords, and does nothing."""

    def __getitem__(self, grid):
        return lambda **arguments: None


@pytest.fixture
def launchers_without_kernels(monkeypatch):
    """Launchers run as plain functions, so that what they allocate is seen."""
    if not backends._HAS_TRITON:
        pytest.skip(REASON)
    from pps_torch.ops import launches
    from pps_torch.ops.painting.triton import (
        add_stuff,
        greedy_boxes,
        greedy_words,
        merge_boxes,
        paint_ids,
        pps_channels,
        rank_instances,
        upsampled_ids,
    )

    operations = (merge_boxes, pps_channels, upsampled_ids)
    steps = (rank_instances, greedy_boxes, greedy_words, add_stuff, paint_ids)
    for module in (*operations, *steps):
        for name in [name for name in vars(module) if name.endswith("_kernel")]:
            monkeypatch.setattr(module, name, NoKernel())
    for module in operations:
        operation = module.__name__.rpartition(".")[2]
        monkeypatch.setattr(module, operation, getattr(module, operation)._function)
    monkeypatch.setattr(launches, "_kind", lambda tensor: None)  # fake tensors lie nowhere
    monkeypatch.setattr(torch.cuda, "device_of", lambda tensor: contextlib.nullcontext())


def boxes():
    corners = torch.rand(NUM, 2, device="cuda") * 2000
    boxes = torch.cat([corners, corners + 300], 1)
    classes = torch.zeros(NUM, dtype=torch.int64, device="cuda")
    return torch.rand(NUM, 28, 28, device="cuda"), boxes, torch.rand(NUM, device="cuda"), classes


def merge_boxes():
    sem_seg = torch.zeros(HEIGHT, WIDTH, dtype=torch.int64, device="cuda")
    return BoxPanopticMerger(SPEC.stuff), (sem_seg, *boxes())


def post_process():
    semantic = torch.rand(19, HEIGHT // 4, WIDTH // 4, device="cuda")
    parts = torch.rand(24, HEIGHT // 4, WIDTH // 4, device="cuda")
    return PPSPostProcessor(SPEC), (semantic, *boxes(), parts, (HEIGHT, WIDTH))


def num_bytes(value) -> int:
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes()
    return sum(num_bytes(item) for item in value)


def fake_peak(case, backend):
    """(peak above the inputs, bytes of the outputs)."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode:
            torch.zeros(1).to("cuda")
    except RuntimeError as error:
        pytest.skip(f"torch {torch.__version__} has no fake CUDA tensors here: {error}")
    with mode:
        module, inputs = case()
        module.to("cuda")
        for part in module.modules():
            part.backend = backend
        with LiveBytes(inputs) as memory:
            outputs = module(*inputs)
    return memory.peak, num_bytes(outputs)


@pytest.mark.parametrize("case", [merge_boxes, post_process])
def test_triton_holds_little_more_than_the_outputs(case, launchers_without_kernels):
    peak, outputs = fake_peak(case, "triton")
    assert 4 * HEIGHT * WIDTH < outputs < peak <= outputs + 64 * MIB


@pytest.mark.slow
def test_torch_holds_one_mask_at_a_time():
    peak, _ = fake_peak(merge_boxes, "torch")
    assert peak < NUM * HEIGHT * WIDTH / 4


@needs_cuda
@pytest.mark.gpu
@pytest.mark.parametrize("case", [merge_boxes, post_process])
def test_peak_on_the_device(case):
    module, inputs = case()
    module.cuda()
    module(*inputs)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    outputs = module(*inputs)
    torch.cuda.synchronize()
    assert torch.cuda.max_memory_allocated() - before <= num_bytes(outputs) + 64 * MIB

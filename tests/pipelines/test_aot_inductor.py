"""What AOTInductor is given: upsampling that stays torch's own operator."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pps_torch.pipelines.aot_inductor import compile_package

upsample = torch.ops.aten.upsample_bilinear2d


class Upsampled(torch.nn.Module):
    def __init__(self, **size):
        super().__init__()
        self.size = size

    def forward(self, logits):
        return F.interpolate(logits, **self.size, mode="bilinear", align_corners=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "expected"),
    [({"size": (5, 9)}, upsample.default), ({"scale_factor": 1.5}, upsample.vec)],
)
def test_only_upsampling_to_a_size_is_called_as_it_is(size, expected, monkeypatch):
    logits, module = torch.randn(2, 3, 4, 6), Upsampled(**size)
    program = torch.export.export(module, (logits,))

    def prepare(program, *, package_path, inductor_configs):
        assert package_path == "own.pt2" and torch.is_inference_mode_enabled()
        inductor_configs["pre_grad_custom_pass"](program.graph)

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", prepare)
    compile_package(program, "own.pt2")
    (operator,) = (node.target for node in program.graph.nodes if node.op == "call_function")
    assert operator == expected
    program.graph_module.recompile()
    assert torch.equal(program.module()(logits), module(logits))

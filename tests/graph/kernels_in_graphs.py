"""For each merge: the kernels that a call launches, those in AOTInductor's graph of it, its result.

It prints what it finds. It runs in a process in which Triton compiles, as AOTInductor asks for
kernels that can be compiled, and in which a stub stands in for the driver of a GPU.
"""

from __future__ import annotations

import json
from contextlib import suppress
from unittest import mock

import torch
from budget import stub_driver
from torch._higher_order_ops.triton_kernel_wrap import kernel_side_table
from torch.utils._pytree import tree_leaves
from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction

from pps_torch.pipelines.aot_inductor import compile_package
from tests.graph.programs import MERGES, Sizes

#: More masks than a word has bits, in rows that no load of four pixels fits: a graph has none.
SIZES = Sizes(2, 40, 21, 31)


class Stop(Exception):
    """Ends a compilation, whose code no CPU could run."""


def graph_of(program):
    """The graph that AOTInductor makes code of."""
    graphs = []

    def keep(graph):
        graphs.append(graph)
        raise Stop

    with torch._inductor.config.patch(post_grad_custom_pre_pass=keep):
        with suppress(Stop, torch._inductor.exc.InductorError):
            compile_package(program, "never_written.pt2")
    return graphs[0]


class Interpreter(torch.fx.Interpreter):
    """Runs a graph, its kernels in Triton's interpreter."""

    def call_function(self, target, args, kwargs):
        if "kernel_idx" not in kwargs:
            return super().call_function(target, args, kwargs)
        changed, (grid,) = kwargs["tensors_to_clone"], kwargs["grid"]
        arguments = kernel_side_table.get_constant_args(kwargs["constant_args_idx"])
        tensors = {
            name: tensor.clone() if name in changed else tensor
            for name, tensor in kwargs["kwargs"].items()
        }
        InterpretedFunction(kernel_of(kwargs).fn)[grid](**tensors, **arguments)
        return {name: tensors[name] for name in changed}


def kernel_of(launch):
    """The kernel of a node's arguments."""
    kernel = kernel_side_table.get_kernel(launch["kernel_idx"])
    # One that is given options of the compiler is held by an autotuner of one choice.
    return kernel if isinstance(kernel, JITFunction) else kernel.fn


def interpreted(kernel, *args, **kwargs):
    """A function of Triton, called by a kernel that is interpreted."""
    return InterpretedFunction(kernel.fn)(*args, **kwargs)


def kernels_of(graph):
    """The names of the kernels in a graph, with their numbers of programs."""
    launches = [node.kwargs for node in graph.nodes if "kernel_idx" in node.kwargs]
    return [(kernel_of(launch).fn.__name__, launch["grid"][0][0]) for launch in launches]


def launched_kernels(module, inputs, log):
    """The kernels of a call, as `kernels_of`."""
    module(*inputs)
    log.clear()
    module(*inputs)
    return [(launch.variant.name, launch.grid[0]) for launch in log.launches]


def compare(name, log):
    """A function, to be called when all graphs are made, that says what was found of a merge."""
    torch.manual_seed(0)
    make, draw = MERGES[name]
    module, inputs = make(), draw(SIZES)
    expected = tree_leaves(module(*inputs))
    for part in module.modules():
        if hasattr(part, "backend"):
            part.backend = "triton"
    graph = graph_of(torch.export.export(module, inputs, strict=False))
    found = {
        "launched": launched_kernels(module, inputs, log),
        "in graph": kernels_of(graph),
        "operators": [str(n.target) for n in graph.nodes if str(n.target).startswith("pps_torch")],
    }

    def run():
        outputs = tree_leaves(Interpreter(graph.owning_module).run(*inputs))
        pairs = [*zip(outputs, expected, strict=True)]
        return found | {"is same": [is_same(*pair) for pair in pairs]}

    return run


def is_same(tensor, expected):
    """Whether tensors are equal, numbers with a fraction but for rounding."""
    if expected.is_floating_point():
        return torch.allclose(tensor, expected, equal_nan=True)
    return torch.equal(tensor, expected)


if __name__ == "__main__":
    log = stub_driver.install()
    comparisons = {name: compare(name, log) for name in MERGES}
    with mock.patch.object(JITFunction, "__call__", interpreted):
        print(json.dumps({name: run() for name, run in comparisons.items()}))

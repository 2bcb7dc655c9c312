"""Programs of the merges, compiled by AOTInductor."""

from __future__ import annotations

from pathlib import Path

import torch

from pps_torch.io.errors import InputError
from pps_torch.ops.direct_operator import kernels_in_graphs

UPSAMPLE = torch.ops.aten.upsample_bilinear2d


def compile_package(program: torch.export.ExportedProgram, path: Path | str) -> None:
    """Compile a program into a package, as `torch._inductor.aoti_compile_and_package` does.

    It takes less time than with Inductor's own settings, and bilinear upsampling stays a call of
    torch's operator, which has the bits of the eager call and is faster than Inductor's code. A
    program of merges with `backend="triton"` is compiled with their kernels, so that the package
    runs without this one, also in C++.

    Args:
        program: of `torch.export.export`, such as one of a merge.
        path: the package; its name ends in `.pt2`.

    Raises:
        InputError: a program with kernels has sizes that may differ from call to call. How often
            kernels are launched depends on sizes, and a package has a fixed number of launches.
    """
    _check_sizes(program)
    from torch._inductor.lowering import make_fallback  # Inductor takes 1.5 s to import

    settings = {
        "pre_grad_custom_pass": _keep_upsampling,
        # Precompiled headers and optimised calls of kernels cost more than they save.
        "aot_inductor.precompile_headers": False,
        "aot_inductor.compile_wrapper_opt_level": "O0",
        # Else the last pixels of a row have a vectorised loop of their own, with its own code.
        "cpp.enable_loop_tail_vec": False,
    }
    # Inductor refuses operators that it can decompose where `CI` is set, but for those it was told.
    make_fallback(UPSAMPLE.default, warn=False)
    # Only in this mode Inductor leaves the operator of `_keep_upsampling` whole.
    with torch.inference_mode(), kernels_in_graphs():
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(path), inductor_configs=settings
        )


def _check_sizes(program: torch.export.ExportedProgram) -> None:
    parts = [m for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)]
    targets = [node.target for part in parts for node in part.graph.nodes]
    operators = {str(t) for t in targets if getattr(t, "namespace", None) == "pps_torch"}
    if operators and program.range_constraints:
        raise InputError(
            f"expected fixed sizes in a program with kernels ({', '.join(sorted(operators))}), "
            f"found sizes that may differ: {program.range_constraints}"
        )


def _keep_upsampling(graph: torch.fx.Graph) -> None:
    """Upsample by the overload that Inductor calls as it is; the values are the same."""
    for node in graph.find_nodes(op="call_function", target=UPSAMPLE.vec):
        planes, size, align_corners, scales = node.args
        if scales is None:
            node.target, node.args = UPSAMPLE.default, (planes, size, align_corners)

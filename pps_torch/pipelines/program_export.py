"""The merge of heads as a program for ONNX Runtime, `torch.export` or AOTInductor, in one file."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy  # noqa: F401, ICN001  # by torch it is imported in C, where Ctrl-C is lost
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pps_torch.io.atomic import check_can_write, write_file
from pps_torch.io.errors import InputError
from pps_torch.pipelines.aot_inductor import compile_package
from pps_torch.pipelines.exportable_merges import MERGES, ExampleSizes, ExportedMerge
from pps_torch.pipelines.running.options import RunOptions
from pps_torch.specs import EvalSpec

#: What a format is for, and how its files end.
FORMATS = {"onnx": ".onnx", "pt2": ".pt2", "aoti": ".pt2"}

Program = Callable[..., list[Tensor]]

# A merge that rounds otherwise than torch moves a pixel now and then.
_MOST_DIFFERING = 1e-3
_NUM_RUNS = 3


def export(
    eval_spec: Path | str,
    output: Path | str,
    *,
    format: str,
    image_size: Sequence[int],
    merge: str = "heads",
    num_instances: int | None = None,
    batch: int | None = None,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Path:
    """Write the merge of a spec's heads as a program, run it, and compare it with the eager call.

    Sizes that are not given may differ from call to call.

    Args:
        eval_spec: the name of a bundled spec or the path of one.
        output: the file: `.onnx`, else `.pt2`.
        format: `onnx` for ONNX Runtime and others; `pt2` for `torch.export.load`; `aoti` for
            AOTInductor, in Python and C++.
        image_size: height and width of the maps.
        merge: `heads` (`PPSPostProcessor`), `masks`, `boxes`, `queries` or `centers`.
        num_instances: the instances or queries of an image, always; default: any number.
        batch: the images of a call, always; default: any number.

    Returns:
        The path of the program.

    Raises:
        InputError, SpecError: names the file or argument, what was expected and what was found.
    """
    output = Path(output)
    _check_arguments(output, format, image_size, merge, num_instances, batch)
    if output.exists() and not options.overwrite:
        raise InputError(f"{output}: already exists", remedy=("overwrite", "replace it"))
    spec, device = EvalSpec.load(eval_spec), options.torch_device()
    check_can_write(output)
    exported = MERGES[merge](spec, (image_size[0], image_size[1]))
    exported = exported.with_sizes(batch=batch, instances=num_instances)
    module = exported.module.to(device).eval()
    sizes = ExampleSizes(batch or 2, num_instances or 100, *image_size)
    inputs = tuple(value.to(device) for value in exported.draw(sizes))
    with tempfile.TemporaryDirectory() as folder, _quiet_exporters():
        path = Path(folder) / f"program{FORMATS[format]}"
        began = time.perf_counter()
        torch._dynamo.reset()  # what it keeps of an earlier export would fix sizes of this one
        program = torch.export.export(module, inputs, dynamic_shapes=exported.dynamic_shapes())
        run = _WRITERS[format](program, path, list(exported.outputs))
        seconds = time.perf_counter() - began
        differing, times = _compare(module, run, inputs)
        content = path.read_bytes()
    _check_same(output, exported, differing)
    write_file(output, content)
    options.note(f"program saved in {output}, {len(content) / 1e6:.1f} MB, made in {seconds:.0f} s")
    options.show(_table(exported, inputs, differing, times))
    return output


def _check_arguments(
    output: Path,
    format: str,
    image_size: Sequence[int],
    merge: str,
    num_instances: int | None,
    batch: int | None,
) -> None:
    for argument, value, known in (("format", format, FORMATS), ("merge", merge, MERGES)):
        if value not in known:
            raise InputError(f"expected one of {[*known]}, found {value!r}", argument=argument)
    if len(image_size) != 2 or min(image_size) < 1:
        raise InputError(
            f"expected a height and a width of 1 or more, found {[*image_size]}",
            argument="image_size",
        )
    for argument, number in (("num_instances", num_instances), ("batch", batch)):
        if number is not None and number < 1:
            raise InputError(f"expected at least 1, found {number}", argument=argument)
    if output.suffix != FORMATS[format]:
        raise InputError(f"{output}: expected a name that ends in {FORMATS[format]}")
    if torch.__version__ < "2.11":
        raise InputError(f"expected torch 2.11 or newer, found {torch.__version__}")
    libraries = ("onnx", "onnxscript", "onnxruntime") if format == "onnx" else ()
    if missing := [name for name in libraries if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"onnx needs {', '.join(missing)}, which pps_torch[export] brings", argument="format"
        )
    compiler = os.environ.get("CXX", "g++")
    if format == "aoti" and shutil.which(compiler) is None:
        raise InputError(f"aoti needs a C++ compiler, found no {compiler}", argument="format")


def _write_pt2(program: torch.export.ExportedProgram, path: Path, outputs: list[str]) -> Program:
    torch.export.save(program, path)
    module = torch.export.load(path).module()
    return lambda *inputs: pytree.tree_leaves(module(*inputs))


def _write_aoti(program: torch.export.ExportedProgram, path: Path, outputs: list[str]) -> Program:
    compile_package(program, path)
    package = torch._inductor.aoti_load_package(str(path))
    return lambda *inputs: pytree.tree_leaves(package(*inputs))


def _write_onnx(program: torch.export.ExportedProgram, path: Path, outputs: list[str]) -> Program:
    import onnx
    import onnxruntime

    model = torch.onnx.export(program, dynamo=True, verbose=False, output_names=outputs)
    cast("torch.onnx.ONNXProgram", model).save(path)
    onnx.checker.check_model(path, full_check=True)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(*inputs: Tensor) -> list[Tensor]:
        arrays = {name: value.numpy(force=True) for name, value in zip(names, inputs, strict=True)}
        return [torch.from_numpy(array) for array in session.run(outputs, arrays)]

    return run


_WRITERS = {"pt2": _write_pt2, "aoti": _write_aoti, "onnx": _write_onnx}


@contextmanager
def _quiet_exporters() -> Iterator[None]:
    """Keep what exporters say about their own code to themselves."""
    names = ("onnx_ir", "torch._export", "torch._inductor", "torch.utils")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _compare(
    module: nn.Module, run: Program, inputs: tuple[Tensor, ...]
) -> tuple[list[float], tuple[float, float]]:
    """Find the share of each output that differs, and the seconds of both, the best of some."""

    def eager(*inputs: Tensor) -> list[Tensor]:
        return pytree.tree_leaves(module(*inputs))

    with torch.no_grad():
        pairs = zip(run(*inputs), eager(*inputs), strict=True)
        differing = [_share(found.cpu(), expected.cpu()) for found, expected in pairs]
        times = [
            min(_seconds(function, inputs) for _ in range(_NUM_RUNS)) for function in (eager, run)
        ]
    return differing, (times[0], times[1])


def _seconds(function: Callable[..., list[Tensor]], inputs: tuple[Tensor, ...]) -> float:
    began = time.perf_counter()
    function(*inputs)[0].cpu()
    return time.perf_counter() - began


def _share(found: Tensor, expected: Tensor) -> float:
    """The share of values that differ: of floats, by more than rounding."""
    if expected.is_floating_point():
        differs = ~found.isclose(expected, rtol=1e-4, atol=1e-5)
    else:
        differs = found != expected
    return differs.double().mean().item() if differs.numel() else 0.0


def _check_same(output: Path, exported: ExportedMerge, differing: list[float]) -> None:
    for name, share in zip(exported.outputs, differing, strict=True):
        is_map = name in ("panoptic_seg", "pps")
        if is_map and share > _MOST_DIFFERING:
            raise RuntimeError(
                f"{output}: {name}: expected what the eager call gives, found {share:.2%} "
                "of other values; please report this"
            )


def _table(
    exported: ExportedMerge,
    inputs: tuple[Tensor, ...],
    differing: list[float],
    times: tuple[float, float],
) -> str:
    """What goes into a program and comes out of it, and how long it takes."""
    lines = ["input                shape, dtype"]
    for (name, layout), value in zip(exported.inputs.items(), inputs, strict=True):
        shape = ", ".join(map(str, layout))
        lines.append(f"{name:<20} ({shape}) {str(value.dtype).removeprefix('torch.')}")
    lines += ["", "output               beside the eager call"]
    for name, share in zip(exported.outputs, differing, strict=True):
        lines.append(f"{name:<20} " + ("equal" if share == 0 else f"{share:.3%} differ"))
    eager, program = (f"{1e3 * seconds:.1f} ms" for seconds in times)
    return "\n".join([*lines, "", f"time                 {program}, eager {eager}"])

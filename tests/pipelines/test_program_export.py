"""`pps-torch export`: programs that give the eager result, and errors that name the option."""

from __future__ import annotations

import importlib.util
import shutil

import pytest
import torch

from pps_torch import EvalSpec
from pps_torch.cli.main import main
from pps_torch.io.errors import InputError
from pps_torch.pipelines import RunOptions, export
from pps_torch.pipelines.exportable_merges import MERGES, ExampleSizes
from tests.graph.cases import assert_same, tensors

OPTIONS = RunOptions(device="cpu", quiet=True)
has_loops = pytest.mark.skipif(
    torch.__version__ < "2.11", reason="loops are exported from torch 2.11 on"
)


@has_loops
@pytest.mark.slow
@pytest.mark.parametrize("merge", MERGES)
def test_each_merge_is_saved_and_gives_the_eager_result(merge, tmp_path, capsys):
    torch.manual_seed(0)
    output = tmp_path / "merge.pt2"
    words = [str(output), "--format", "pt2", "--image_size", "48", "64", "--merge", merge]
    assert main(["export", "cpp_default", *words, "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "differ" not in shown and "(batch, " in shown and str(output) in shown
    exported = MERGES[merge](EvalSpec.load("cpp_default"), (48, 64))
    heads = exported.draw(ExampleSizes(1, 5, 48, 64))
    found = torch.export.load(output).module()(*heads)
    assert type(found) is tuple  # a class of this package would be needed to load the program
    assert_same(found, exported.module(*heads))
    assert len(found) == len(exported.outputs)


@has_loops
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs the compiler g++")
def test_a_package_of_aot_inductor(tmp_path, capsys):
    output = tmp_path / "merge.pt2"
    words = [str(output), "--format", "aoti", "--image_size", "48", "64", "--merge", "masks"]
    assert main(["export", "cpp_default", *words, "--device", "cpu"]) == 0
    assert "differ" not in capsys.readouterr().out
    exported = MERGES["masks"](EvalSpec.load("cpp_default"), (48, 64))
    heads = exported.draw(ExampleSizes(1, 5, 48, 64))
    found = torch._inductor.aoti_load_package(str(output))(*heads)
    assert_same(tensors(found), exported.module(*heads))


@has_loops
@pytest.mark.slow
def test_onnx_with_fixed_numbers(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    for name in ("onnxscript", "onnxruntime"):
        pytest.importorskip(name)
    output = tmp_path / "merge.onnx"
    words = ["--format", "onnx", "--image_size", "48", "64", "--num_instances", "3", "--batch", "1"]
    assert main(["export", "cpp_default", str(output), *words, "--device", "cpu"]) == 0
    assert "(1, 3, 28, 28) float32" in capsys.readouterr().out
    graph = onnx.load(output).graph
    sizes = [axis.dim_value for axis in graph.input[1].type.tensor_type.shape.dim]
    assert graph.input[1].name == "mask_probs" and sizes == [1, 3, 28, 28]
    assert [value.name for value in graph.output][-1] == "pps"


def arguments(**changed):
    return {"format": "pt2", "image_size": (48, 64), "options": OPTIONS, **changed}


@has_loops
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"format": "tflite"},
            r"format: expected one of \['onnx', 'pt2', 'aoti'\], found 'tflite'",
        ),
        ({"merge": "all"}, "merge: expected one of .*'centers'.*, found 'all'"),
        ({"image_size": (0, 64)}, r"image_size: expected a height .*, found \[0, 64\]"),
        ({"num_instances": 0}, "num_instances: expected at least 1, found 0"),
        ({"batch": -1}, "batch: expected at least 1, found -1"),
        ({"format": "onnx"}, r"merge.pt2: expected a name that ends in .onnx"),
    ],
)
def test_wrong_arguments(changed, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export("cpp_default", tmp_path / "merge.pt2", **arguments(**changed))


@has_loops
def test_what_is_there_stays(tmp_path, capsys):
    output = tmp_path / "merge.pt2"
    output.write_bytes(b"mine")
    words = ["cpp_default", str(output), "--format", "pt2", "--image_size", "48", "64"]
    assert main(["export", *words]) == 2
    assert "already exists; use --overwrite to replace it" in capsys.readouterr().err
    assert output.read_bytes() == b"mine"


@has_loops
def test_what_a_format_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"format: onnx needs onnx, .* pps_torch\[export\] brings"):
        export("cpp_default", tmp_path / "merge.onnx", **arguments(format="onnx"))
    monkeypatch.setenv("CXX", "no_such_compiler")
    with pytest.raises(InputError, match=r"format: aoti needs a C\+\+ compiler, found no no_such"):
        export("cpp_default", tmp_path / "merge.pt2", **arguments(format="aoti"))


def test_older_torch(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.10.0")
    with pytest.raises(InputError, match=r"expected torch 2.11 or newer, found 2.10.0"):
        export("cpp_default", tmp_path / "merge.pt2", **arguments())
